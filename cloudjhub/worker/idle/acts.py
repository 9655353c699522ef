"""What somebody does, told from what an open page asks for by itself.

Jupyter Server takes every request as activity. An open JupyterLab that nobody looks at lists
files, kernels and terminals and saves its layout, each about every ten seconds (JupyterLab 4.6).
"""

LOOKING = ("GET", "HEAD", "OPTIONS")
LAYOUT = "lab/api/workspaces"
DOCUMENTS = ("notebook", "file")
# JupyterLab tries for ever to save what cannot be saved.
REFUSED = 400


def is_act(method, path, kind, status):
    """Whether a request to Jupyter's API is something that a person did.

    ``path`` without the server's base URL; ``kind`` is the query's ``type``, if any.
    """
    if status >= REFUSED or path.startswith(LAYOUT):
        return False
    if method in LOOKING:
        return path.startswith("api/contents/") and kind in DOCUMENTS
    return True


def only_acts_count():
    """From now on, what merely looks is no activity of this server."""
    from jupyter_server.base.handlers import APIHandler

    counted = APIHandler.update_api_activity

    def update_api_activity(handler):
        request = handler.request
        path = request.path[len(handler.base_url) :]
        kind = handler.get_query_argument("type", None)
        if is_act(request.method, path, kind, handler.get_status()):
            counted(handler)

    APIHandler.update_api_activity = update_api_activity
