"""What the parts of the EC2 answer share: moto's response object that knows our engine."""

from typing import TYPE_CHECKING, Any

from moto.ec2.responses import EC2Response

from cloudjhub.local.moto_layer.backend import LocalBackend

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine


class LocalCalls(EC2Response):
    """One request. Methods named like actions answer them; the engine's lock is held."""

    engine: "Engine"

    @property
    def ec2_backend(self) -> LocalBackend:
        return self.engine.backend

    def param(self, name: str, default: Any = None) -> Any:
        """A parsed request parameter; lists and structures come as such."""
        return self._get_param(name, default)
