"""Logs people in to a benchmark's hub by one request, whoever they say they are."""

from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler

PATH = "/quick-login"


class QuickLogin(BaseHandler):
    """``GET /hub/quick-login?user=NAME`` begins a session as a login form would."""

    async def get(self) -> None:
        """Answers 204 with the session's cookies."""
        await self.login_user({"username": self.get_argument("user")})
        self.set_status(204)


class QuickAuthenticator(Authenticator):
    """Believes everybody. Only for hubs on the loopback address that end with the benchmark."""

    def get_handlers(self, app: Any) -> list[tuple[str, type[BaseHandler]]]:
        return [(PATH, QuickLogin)]

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> str:
        return data["username"]
