"""The culler's page for admins, and its metrics: who may see them is the hub's to say."""

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import Application, RequestHandler, authenticated

from cloudjhub.culler import gauges
from cloudjhub.culler.board import Board


class _Handler(HubOAuthenticated, RequestHandler):
    """For who has the scope access:services!service=culler: admins, unless a role says more."""

    def initialize(self, board: Board) -> None:
        self.board = board

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )


class PageHandler(_Handler):
    """Who is idle since when, and stops when."""

    @authenticated
    def get(self) -> None:
        """The page."""
        hub_home = os.environ["JUPYTERHUB_BASE_URL"]
        self.render("page.html", board=self.board, hub_home=hub_home, at=_at, span=_span)


class MetricsHandler(_Handler):
    """For Prometheus."""

    @authenticated
    def get(self) -> None:
        """Needs no browser: the header ``Authorization: token ...`` will do."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest(gauges.REGISTRY))


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def application(board: Board, prefix: str) -> Application:
    """``prefix`` is where the proxy shows it, such as /services/culler/."""
    settings: dict[str, Any] = {
        "cookie_secret": os.urandom(32),
        "template_path": os.path.join(os.path.dirname(__file__), "templates"),
    }
    handlers: list[Any] = [
        (prefix, PageHandler, {"board": board}),
        (f"{prefix}metrics", MetricsHandler, {"board": board}),
        (f"{prefix}oauth_callback", HubOAuthCallbackHandler),
    ]
    return Application(handlers, **settings)
