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
    """From now on what merely looks is no activity of this server; to open a page or save is one.

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
    visits = _Visits(settings)
    settings["log_function"] = visits.log
    # Of documents that several people edit at once only the server's own saves are to be seen.
    contents = settings["contents_manager"]
    if hasattr(contents, "register_post_save_hook"):
        contents.register_post_save_hook(visits.saved)


class _Visits:
    """Hears of every request when it is over, and of every document that was saved."""

    def __init__(self, settings):
        self._settings = settings
        self._log = settings.get("log_function")

    def log(self, handler):
        if self._log:
            self._log(handler)
        request = handler.request
        accepts = request.headers.get("Accept", "")
        known = getattr(handler, "_jupyter_current_user", None)
        if known and is_visit(request.method, accepts, handler.get_status()):
            self._note()

    def saved(self, **_):
        self._note()

    def _note(self):
        self._settings[VISIT_KEY] = datetime.now(timezone.utc)
