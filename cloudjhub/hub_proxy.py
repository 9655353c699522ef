"""The proxy's table of routes, without the times at which something last passed through it."""

from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy


class WorkOnlyProxy(ConfigurableHTTPProxy):
    """configurable-http-proxy, whose times of last activity the hub does not hear.

    Every pong of a tab that somebody left open counts for it as activity; what counts is what the
    server itself says of its work. ``JupyterHub.last_activity_interval`` cannot be put off for
    that: each time the hub also gives the proxy back the routes that it lost (app.py,
    update_last_activity), as a proxy that was restarted has none.
    """

    async def get_all_routes(self) -> dict[str, Any]:
        """As its parent, whose settings it has."""
        routes = await super().get_all_routes()
        for route in routes.values():
            route["data"].pop("last_activity", None)
        return routes
