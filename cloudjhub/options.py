"""What a user may choose for a server, checked wherever it comes from.

The form, ``?opt-...`` in an address, REST and what an earlier start stored all end up here:
JupyterHub hands options over unchecked, and they outlive the choices they were made from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from cloudjhub.config import ClusterConfig
from cloudjhub.errors import CloudJHubError, ConfigError, UnknownOption

MOVE_HOME = "move_home"


@dataclass(frozen=True)
class Options:
    """Checked choices. ``instance_type`` None: the cluster's WORKER_INSTANCE_TYPE.

    ``move_home``: the home may be moved where Amazon has machines. For one start only.
    """

    instance_type: str | None = None
    move_home: bool = False


def checked(raw: dict[str, Any], config: ClusterConfig) -> Options:
    """The options as far as this cluster offers them today. Raises UnknownOption."""
    for key in raw:
        if key not in ("instance_type", MOVE_HOME):
            raise UnknownOption(f"There is no option {key!r} on this hub.")
    kind = raw.get("instance_type") or None
    offered = [config.worker_instance_type, *config.worker_instance_type_choices]
    if kind is not None and kind not in offered:
        raise UnknownOption(
            f"There is no machine type {kind!r} on this hub; there is: {', '.join(offered)}."
        )
    return Options(instance_type=kind, move_home=raw.get(MOVE_HOME) in ("yes", True))


def for_later(raw: dict[str, Any]) -> dict[str, Any]:
    """The options as they are kept for later starts: who agrees to a move agrees to one."""
    return {key: value for key, value in raw.items() if key != MOVE_HOME}


def offer_to_move(error: CloudJHubError, page: str, raw: dict[str, Any]) -> str:
    """The error as HTML, with a link that starts the server with its home moved.

    ``page``: address of the server's start, for an admin who starts it too; ``raw``: its options.
    """
    chosen = {**for_later(raw), MOVE_HOME: "yes"}
    query = urlencode({f"opt-{key}": value for key, value in chosen.items() if value})
    link = f"{quote(page.rstrip('/'), safe='/%')}?{query}"
    return f'{escape(error.advice)} <a href="{escape(link)}">Move my files and start.</a>'


def form(read_config: Callable[[], ClusterConfig]) -> str:
    """HTML of the choices; "" where there is nothing to choose, and no form is shown then.

    Of an unusable configuration the start tells, in better words than a broken form could.
    """
    try:
        config = read_config()
    except ConfigError:
        return ""
    if not config.worker_instance_type_choices:
        return ""
    kinds = dict.fromkeys([config.worker_instance_type, *config.worker_instance_type_choices])
    choices = "".join(f"<option>{escape(kind)}</option>" for kind in kinds)
    return (
        '<label for="instance_type">Type of your machine (when a new one is made)</label>'
        f'<select class="form-select" id="instance_type" name="instance_type">{choices}</select>'
    )


def from_form(form_data: dict[str, list[str]]) -> dict[str, Any]:
    """A posted form (lists of strings) or a query as options."""
    return {key: values[0] for key, values in form_data.items() if values}
