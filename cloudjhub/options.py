"""What a user may choose for a server, checked wherever it comes from.

The form, ``?opt-...`` in an address, REST and what an earlier start stored all end up here:
JupyterHub hands options over unchecked, and they outlive the choices they were made from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from cloudjhub.config import ClusterConfig
from cloudjhub.errors import ConfigError, UnknownOption


@dataclass(frozen=True)
class Options:
    """Checked choices. ``instance_type`` None: the cluster's WORKER_INSTANCE_TYPE."""

    instance_type: str | None = None


def checked(raw: dict[str, Any], config: ClusterConfig) -> Options:
    """The options as far as this cluster offers them today. Raises UnknownOption."""
    for key in raw:
        if key != "instance_type":
            raise UnknownOption(f"There is no option {key!r} on this hub.")
    kind = raw.get("instance_type") or None
    offered = [config.worker_instance_type, *config.worker_instance_type_choices]
    if kind is not None and kind not in offered:
        raise UnknownOption(
            f"There is no machine type {kind!r} on this hub; there is: {', '.join(offered)}."
        )
    return Options(instance_type=kind)


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
