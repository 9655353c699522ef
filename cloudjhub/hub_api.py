"""What the hub's own REST API lacks: the terms of idleness of a server, and its stop for that.

Beside JupyterHub's, under ``api/cloudjhub``. A machine asks for its terms; the culler has servers
stopped. Unlike DELETE that is compare-and-stop: nobody is stopped who came back meanwhile.
"""

import json
from datetime import datetime, timezone
from typing import Any, Protocol, cast

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from pydantic import BaseModel, Field, ValidationError
from tornado import web

from cloudjhub import hub_machines
from cloudjhub.config import ClusterConfig
from cloudjhub.errors import ConfigError
from cloudjhub.idle_config import IdleAction
from cloudjhub.idle_terms import idle_terms
from cloudjhub.questions import Questions

_PREFIX = r"/api/cloudjhub/users/([^/]+)"


class IdleStop(BaseModel):
    """Body of an idle-stop. ``last_activity``: what the hub said, upon which this was decided.

    ``for_age``: it is so old that it does not matter whether it works.
    """

    last_activity: datetime | None
    action: IdleAction
    reason: str = Field(default="idle", max_length=500)
    for_age: bool = False


class _Cluster(Protocol):
    def config(self) -> ClusterConfig: ...


class StopsIdle(Protocol):
    """What a spawner must have for this."""

    cluster: _Cluster
    #: what the next stop does; a stop that is not asked for here is a plain one
    next_stop: IdleAction
    questions: Questions

    def was_asked(self, token: orm.APIToken | None) -> None: ...


class _ServerHandler(APIHandler):
    def _spawner(self, user_name: str, server_name: str) -> Any:
        """JupyterHub's own spawner of the server. 404 where there is none."""
        user = self.find_user(user_name)
        if user is None or server_name not in user.orm_spawners:
            raise web.HTTPError(404, "No such server")
        return user.spawners[server_name]


class IdleHandler(_ServerHandler):
    """When the server is stopped for being idle, as configured at this moment."""

    @needs_scope("users:activity")
    def get(self, user_name: str, server_name: str = "") -> None:
        """The terms, in JSON. Asked for by the server itself, with its own token."""
        spawner = self._spawner(user_name, server_name)
        cast(StopsIdle, spawner).was_asked(self.get_token())
        try:
            config = cast(StopsIdle, spawner).cluster.config()
        except ConfigError as error:
            raise web.HTTPError(503, error.advice) from error
        groups = [group.name for group in spawner.user.groups]
        terms = idle_terms(config, user_name, groups, datetime.now(timezone.utc))
        self.write(json.dumps(terms))


class IdleStopHandler(_ServerHandler):
    """Stop or hibernate a server that has been idle for too long."""

    @needs_scope("delete:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        """204 when it is off, 202 while it is stopping, 409 when it is idle no more, or unheard."""
        asked = self._asked()
        spawner = self._spawner(user_name, server_name)
        self._must_be_as_seen(spawner, asked)
        # As JupyterHub's DELETE does (apihandlers/users.py): one that died is noticed as such.
        if spawner.ready and await spawner.poll_and_notify() is None:
            self._must_be_as_seen(spawner, asked)
            if not asked.for_age and self._is_unheard(spawner):
                return
            self.log.info("%s of %s: %s", asked.action, spawner._log_name, asked.reason)
            await self._stop(spawner, asked.action)
        self.set_header("Content-Type", "text/plain")
        self.set_status(202 if spawner.pending == "stop" else 204)

    def _is_unheard(self, spawner: Any) -> bool:
        """Whether its words do not arrive, so that nobody knows whether it works; that is said."""
        questions = cast(StopsIdle, spawner).questions
        if not questions.silent:
            return False
        message = (
            f"The server has not asked for its terms {questions.silent}, as it did before: whether "
            "it works is not known. Can its machine reach the hub's API, and is its token valid?"
        )
        if questions.is_news():
            self.log.warning("%s is not stopped. %s", spawner._log_name, message)
        self.set_status(409)
        self.write(json.dumps({"status": 409, "message": message, "unheard": True}))
        return True

    async def _stop(self, spawner: Any, action: IdleAction) -> None:
        cast(StopsIdle, spawner).next_stop = action
        try:
            await self.stop_single_user(spawner.user, spawner.name)
        except Exception:
            # It was not begun; the next one may be the user's own.
            cast(StopsIdle, spawner).next_stop = "stop"
            raise

    def _asked(self) -> IdleStop:
        try:
            return IdleStop.model_validate(self.get_json_body())
        except ValidationError as error:
            findings = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise web.HTTPError(400, "; ".join(findings)) from error

    def _must_be_as_seen(self, spawner: Any, asked: IdleStop) -> None:
        """409 where somebody starts, stops or uses it. Nothing may be awaited between this and the
        stop."""
        if spawner.pending:
            raise web.HTTPError(409, f"The server is pending {spawner.pending}")
        known = spawner.orm_spawner.last_activity
        if known is not None and (asked.last_activity is None or known > _naive(asked)):
            raise web.HTTPError(409, f"The server was active at {known.isoformat()}Z")


def _naive(asked: IdleStop) -> datetime:
    """As the hub's database has it: in UTC, without saying so."""
    assert asked.last_activity is not None
    if asked.last_activity.tzinfo is None:
        return asked.last_activity
    return asked.last_activity.astimezone(timezone.utc).replace(tzinfo=None)


#: for JupyterHub.extra_handlers
HANDLERS = [
    (rf"{_PREFIX}/server/idle", IdleHandler),
    (rf"{_PREFIX}/servers/([^/]*)/idle", IdleHandler),
    (rf"{_PREFIX}/server/idle-stop", IdleStopHandler),
    (rf"{_PREFIX}/servers/([^/]*)/idle-stop", IdleStopHandler),
    *hub_machines.HANDLERS,
]
