"""What somebody does, told from what an open page asks for by itself.

Jupyter Server takes every request as activity. An open JupyterLab that nobody looks at lists
files, kernels and terminals and saves its layout, each about every ten seconds (JupyterLab 4.6).
"""

from datetime import datetime, timezone

LOOKING = ("GET", "HEAD", "OPTIONS")
LAYOUT = "lab/api/workspaces"
DOCUMENTS = ("notebook", "file")
# JupyterLab tries for ever to save what cannot be saved.
REFUSED = 400
MOVED = 300
# Jupyter Server takes every setting with such an end as an activity.
VISIT_KEY = "cloudjhub_visit_last_activity"


def is_act(method, path, kind, status):
    """Whether a request to Jupyter's API is something that a person did.

    ``path`` without the server's base URL; ``kind`` is the query's ``type``, if any.
    """
    if status >= REFUSED or path.startswith(LAYOUT):
        return False
    if method in LOOKING:
        return path.startswith("api/contents/") and kind in DOCUMENTS
    return True


def is_visit(method, accepts, status):
    """Whether a request is that of a person who opens a page of the server."""
    return method == "GET" and "text/html" in accepts and status < MOVED


def only_acts_count(settings):
    """From now on what merely looks is no activity of this server, and who opens a page is one.

    ``settings``: the web application's.
    """
    from jupyter_server.base.handlers import APIHandler

    counted = APIHandler.update_api_activity

    def update_api_activity(handler):
        request = handler.request
        path = request.path[len(handler.base_url) :]
        kind = handler.get_query_argument("type", None)
        if is_act(request.method, path, kind, handler.get_status()):
            counted(handler)

    APIHandler.update_api_activity = update_api_activity
    settings["log_function"] = _Visits(settings)


class _Visits:
    """What Tornado calls when a request is over."""

    def __init__(self, settings):
        self._settings = settings
        self._log = settings.get("log_function")

    def __call__(self, handler):
        if self._log:
            self._log(handler)
        request = handler.request
        accepts = request.headers.get("Accept", "")
        known = getattr(handler, "_jupyter_current_user", None)
        if known and is_visit(request.method, accepts, handler.get_status()):
            self._settings[VISIT_KEY] = datetime.now(timezone.utc)
