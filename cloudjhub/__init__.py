"""JupyterHub on AWS in which every user has an EC2 machine of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudjhub.spawner import InstanceSpawner

__all__ = ["InstanceSpawner"]
__version__ = "1.0.0.dev0"


def __getattr__(name: str) -> Any:
    # Resolved on first use, so that tools which only need the package's pure parts
    # (the laptop that launches a cluster, the local EC2) do not load JupyterHub.
    if name == "InstanceSpawner":
        from cloudjhub.spawner import InstanceSpawner

        return InstanceSpawner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
