"""DescribeInstances' XML from pieces that are kept: moto takes 2 ms to write one instance.

A piece is good as long as what it shows is the same. What changes often is compared; any other
change, by whatever action, makes all pieces void (:meth:`Pieces.void`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from cloudjhub.local.moto_layer.models import LocalInstance

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"
#: These change nothing about instances but what :func:`_shown` compares.
COMPARED_ACTIONS = frozenset(
    {
        "AttachVolume",
        "CreateTags",
        "CreateVolume",
        "DeleteTags",
        "DeleteVolume",
        "DetachVolume",
        "RebootInstances",
        "RunInstances",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
    }
)
_OPEN, _CLOSE = "<instancesSet>", "</instancesSet>"


@dataclass(frozen=True)
class Piece:
    """One instance's ``item`` and what its reservation has before and after the instances."""

    shown: tuple[Any, ...]
    before: str
    item: str
    after: str


class Pieces:
    """Callers hold the engine's lock. ``write`` makes moto's document of one instance."""

    def __init__(self) -> None:
        self._pieces: dict[str, Piece] = {}

    def void(self) -> None:
        self._pieces.clear()

    def reservation(
        self, instances: Iterable[LocalInstance], write: Callable[[LocalInstance], str]
    ) -> str:
        """The inside of a reservation that shows these instances."""
        pieces = [self._piece(instance, write) for instance in instances]
        items = "".join(piece.item for piece in pieces)
        return f"{pieces[0].before}{_OPEN}{items}{_CLOSE}{pieces[0].after}"

    def _piece(self, instance: LocalInstance, write: Callable[[LocalInstance], str]) -> Piece:
        shown = _shown(instance)
        piece = self._pieces.get(instance.id)
        if piece is None or piece.shown != shown:
            piece = _cut(shown, write(instance))
            self._pieces[instance.id] = piece
        return piece


def document(action: str, inside: str, next_token: str | None = None) -> str:
    """An answer's XML around what is inside."""
    token = f"<nextToken>{escape(next_token)}</nextToken>" if next_token else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
        f"{inside}{token}<requestId>request-id</requestId></{action}Response>"
    )


def _cut(shown: tuple[Any, ...], document_of_one: str) -> Piece:
    # Texts are escaped, so a tag's name is never part of one; only the outermost set holds others.
    before, _, rest = document_of_one.partition(_OPEN)
    item, _, after = rest.rpartition(_CLOSE)
    opening = before.index("<reservationId>")
    closing = min(after.index(end) for end in ("</item>", "<requestId>") if end in after)
    return Piece(shown, before[opening:], item, after[:closing])


def _shown(instance: LocalInstance) -> tuple[Any, ...]:
    return (
        instance.state,
        instance.state_reason.code,
        instance._reason,
        instance.launch_time,
        instance.instance_type,
        tuple(instance.ec2_backend.tags.get(instance.id, {}).items()),
        tuple(
            (name, block.volume_id, block.status, block.delete_on_termination)
            for name, block in instance.block_device_mapping.items()
        ),
        tuple((nic.id, nic.private_ip_address, nic.public_ip) for nic in instance.nics.values()),
    )
