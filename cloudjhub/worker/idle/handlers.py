"""What pages of this server can ask: when the machine stops, and to keep it for a while."""

import json

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated


class IdleHandler(APIHandler):
    """GET cloudjhub/idle: when the machine stops and why (``forecast``).

    With ``?ask`` the hub is asked first whether its answer has changed.
    """

    _track_activity = False

    def initialize(self, looker):
        self._looker = looker

    @authenticated
    async def get(self):
        if self.get_query_argument("ask", None) is not None:
            await self._looker.ask()
        self.finish(json.dumps(self._looker.forecast()))


class KeepHandler(APIHandler):
    """POST cloudjhub/keep {"hours": number}: no stop before then; 0 takes it back."""

    def initialize(self, looker):
        self._looker = looker

    @authenticated
    async def post(self):
        hours = (self.get_json_body() or {}).get("hours")
        if type(hours) not in (int, float) or not 0 <= hours < 10_000:
            raise HTTPError(400, "hours must be a number of hours.")
        await self._looker.ask()
        if hours and not self._looker.forecast()["keep_seconds"]:
            raise HTTPError(403, "Machines cannot be kept here.")
        self._looker.keep(hours * 3600)
        await self._looker.look()
        self.finish(json.dumps(self._looker.forecast()))


def handlers(base_url, looker):
    """For the server's web application."""
    base = base_url.rstrip("/") + "/cloudjhub/"
    return [
        (base + "idle", IdleHandler, {"looker": looker}),
        (base + "keep", KeepHandler, {"looker": looker}),
    ]
