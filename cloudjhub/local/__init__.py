"""An EC2 that runs on this computer: moto's API, EC2's manners, and a machine per instance.

::

    with LocalEC2(Path("state"), LocalSettings()) as ec2:
        config = ec2.seed()                 # keys for server_config.json
        boto3.client("ec2", endpoint_url=ec2.endpoint_url, ...)

Importing this starts nothing and does not load moto.
"""

from typing import TYPE_CHECKING, Any

from cloudjhub.local.settings import LocalEC2Error, LocalSettings

if TYPE_CHECKING:
    from cloudjhub.local.service import LocalEC2

__all__ = ["LocalEC2", "LocalEC2Error", "LocalSettings"]


def __getattr__(name: str) -> Any:
    # The service loads moto, which takes a second; settings and errors should not.
    if name == "LocalEC2":
        from cloudjhub.local.service import LocalEC2

        return LocalEC2
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
