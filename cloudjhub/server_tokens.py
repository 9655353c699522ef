"""The API tokens of one server, as rows of the hub's database: made, kept asleep, revoked.

JupyterHub makes one for each start and finds it by its text. This finds them by their ids, which
outlive a restart of the hub and may stand in the spawner's state, where no text may.
"""

from typing import Any

from jupyterhub import orm
from jupyterhub.spawner import Spawner

_NOTE = "Server at "  # as JupyterHub marks the tokens of servers (user.py, spawn)


class ServerTokens:
    """Which row the server's process has (``current``), and which one that is hibernated."""

    def __init__(self, spawner: Spawner):
        self._spawner = spawner
        self._current: int | None = None
        self._asleep: int | None = None

    def load(self, state: dict[str, Any]) -> None:
        """Take up what an earlier hub process wrote."""
        self._current = state.get("token_id")
        self._asleep = state.get("asleep_token_id")

    def state(self) -> dict[str, int | None]:
        """Ids only."""
        return {"token_id": self._current, "asleep_token_id": self._asleep}

    @property
    def is_asleep(self) -> bool:
        """Whether a process may still have its token when its machine wakes up."""
        return self._asleep is not None

    def is_current(self, row: orm.APIToken | None) -> bool:
        """Whether it is the one of the server's process."""
        return row is not None and row.id == self._current

    def made(self) -> None:
        """JupyterHub has made one, and the server is going to get it."""
        row = self._made_row()
        self._current = row.id if row else None

    def falls_asleep(self) -> None:
        """The machine is hibernated, and the process with it."""
        # Of a start that the hub did not live to finish, the process has the older one.
        self._asleep = self._asleep or self._current

    def forget_asleep(self) -> None:
        """Whatever was asleep does not come back: its token is worth nothing from now on."""
        if self._asleep is not None and self._asleep != self._current:
            self._revoke(self._row(self._asleep))
        self._asleep = None

    def is_of_sleeper(self, text: str) -> bool:
        """Whether this is the very token that the hibernated process was given.

        What a machine shows may be anything: another's token, or one of its own user's that can
        do more.
        """
        found = orm.APIToken.find(self._spawner.user.db, text) if text else None
        return found is not None and found is self._row(self._asleep)

    def expects_sleeper(self) -> None:
        """The server's OAuth client shall know the hibernated process, not the one of this start.

        Before it wakes up, so that it can let people in even if this hub does not live to see it.
        The token of this start may never be needed, and must not be forgotten then.
        """
        self.made()
        self._client_knows(self._row(self._asleep))

    def woke(self) -> None:
        """The process goes on with its token; that of this start is not needed."""
        self._revoke(self._made_row())
        # As after a restart of the hub: without the text JupyterHub leaves the token and the OAuth
        # client alone. With it, it would add the client anew, without the scopes that
        # Spawner.oauth_client_allowed_scopes gives (user.py, spawn).
        self._spawner.api_token = ""
        self._current, self._asleep = self._asleep, None

    def replaced(self) -> None:
        """The process did not come back; a new one gets the token of this start."""
        self._client_knows(self._made_row())
        self.forget_asleep()

    def ended(self) -> None:
        """No process is left that runs: all but a hibernated one's are revoked."""
        for row in {self._made_row(), self._row(self._current)}:
            if row is not None and row.id != self._asleep:
                self._revoke(row)
        self._current = None

    def _made_row(self) -> orm.APIToken | None:
        text = self._spawner.api_token
        return orm.APIToken.find(self._spawner.user.db, text) if text else None

    def _row(self, row_id: int | None) -> orm.APIToken | None:
        """The row of that number if it is this user's; in a restored database it may not be."""
        if row_id is None:
            return None
        user = self._spawner.user
        row = user.db.get(orm.APIToken, row_id)
        is_ours = row is not None and row.user is user.orm_user and row.note.startswith(_NOTE)
        return row if is_ours else None

    def _revoke(self, row: orm.APIToken | None) -> None:
        if row is not None:
            self._spawner.user.db.delete(row)
            self._spawner.user.db.commit()

    def _client_knows(self, row: orm.APIToken | None) -> None:
        """The secret of the server's OAuth client is its token, hashed as tokens are."""
        client = self._spawner.orm_spawner.oauth_client
        if client is not None and row is not None:
            client.secret = row.hashed
            self._spawner.user.db.commit()
