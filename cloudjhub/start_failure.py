"""A start that failed, as its user reads it: JupyterHub's exception made of one of ours."""

import logging
from typing import Any

from jupyterhub.spawner import SpawnException

from cloudjhub import options
from cloudjhub.errors import CloudJHubError, HomeHeldUp, NotebookError
from cloudjhub.naming import Owner

log = logging.getLogger(__name__)


def for_people(
    error: CloudJHubError, owner: Owner, *, page: str, asked: dict[str, Any]
) -> SpawnException:
    """The error in the words for its user, with the details in the log.

    ``page``: the path of the page that starts this server; ``asked``: the options of this start.
    """
    log.error("No server for %s: %s: %s", owner, type(error).__name__, error)
    if isinstance(error, NotebookError) and error.log_tail:
        log.error("Last words of the server of %s:\n%s", owner, error.log_tail)
    shown = SpawnException(
        error.advice, reason=type(error).__name__, log_message=str(error), status_code=503
    )
    # What pages show, not the exception's message (jupyterhub/utils.py, format_exception).
    shown.jupyterhub_message = error.advice
    if isinstance(error, HomeHeldUp):
        shown.jupyterhub_html_message = options.offer_to_move(error, page, asked)
    return shown
