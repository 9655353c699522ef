"""A spawner that does nothing: the limit of the hub itself.

Everybody's server is there already: one address that answers whatever it is asked.
"""

from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import Unicode


class NothingSpawner(Spawner):
    """Says where the stand-in is, and remembers whether that was said."""

    address = Unicode(help="Where every server is, http://HOST:PORT.").tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._runs = False

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._runs = state.get("runs", False)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "runs": self._runs}

    def clear_state(self) -> None:
        super().clear_state()
        self._runs = False

    async def start(self) -> str:
        # What any spawner must do for its server: the environment, with the server's token.
        self.get_env()
        self._runs = True
        return self.address

    async def poll(self) -> int | None:
        return None if self._runs else 0

    async def stop(self, now: bool = False) -> None:
        self._runs = False
