"""The part of cloudJHub that runs within a machine's Jupyter Server: it says when there is work.

Travels to the machine with every start and is loaded there as ``cloudjhub_idle``. Python 3.8 and
what every Jupyter Server brings along; ``work`` needs the standard library only.
"""

import os

# Set up on the machine by cloudjhub.worker.extension: beside the folder that Python finds us in.
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PAGES = os.path.join(_HERE, "labextensions")
_CONFIG_PATH = "JUPYTER_CONFIG_PATH"


def _jupyter_server_extension_points():
    return [{"module": __name__}]


def _link_jupyter_server_extension(serverapp):
    """JupyterLab, which is loaded after us, is told where our part of its page is."""
    lab = serverapp.config.LabServerApp
    others = list(lab.extra_labextensions_path) if "extra_labextensions_path" in lab else []
    lab.extra_labextensions_path = [*others, _PAGES]


def _load_jupyter_server_extension(serverapp):
    from tornado.ioloop import IOLoop

    from . import acts, handlers, hub, looker, reports

    _leave_no_trace()
    web_app = serverapp.web_app
    the_hub = hub.Hub(serverapp.log)
    # JupyterHub's part: an application of its own with Jupyter Server 2, before that the server.
    app = getattr(serverapp, "starter_app", None) or serverapp
    told = hasattr(app, "notify_activity")
    its_reports = reports.Reports(app, web_app, the_hub) if told else None
    its_looker = looker.Looker(serverapp, the_hub, its_reports)
    web_app.add_handlers(".*", handlers.handlers(web_app.settings["base_url"], its_looker))
    loop = IOLoop.current()
    # When all other parts are loaded: JupyterHub's sets the log function anew.
    loop.add_callback(acts.only_acts_count, web_app.settings)
    loop.add_callback(its_looker.ask_on)
    loop.add_callback(its_looker.look_on)


def _leave_no_trace():
    """Kernels and terminals inherit the server's environment, and have no use for our part."""
    folders = os.environ.get(_CONFIG_PATH, "").split(os.pathsep)
    others = [folder for folder in folders if folder and not folder.startswith(_HERE + os.sep)]
    if others:
        os.environ[_CONFIG_PATH] = os.pathsep.join(others)
    else:
        os.environ.pop(_CONFIG_PATH, None)
