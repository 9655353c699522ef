"""XML of instances and volumes from pieces that are kept: moto takes 2 ms to write one instance.

A piece is good as long as what it shows is the same. What changes often is compared, and state,
reasons and tags are written anew into moto's text; any other change, by whatever action, makes all
pieces void (:meth:`Pieces.void`).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from cloudjhub.local.moto_layer.models import LocalInstance, LocalVolume

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
_INTERFACES = "networkInterfaceSet"
#: What changes in the life of an instance, where moto writes it: of volumes, and of the rest
_VOLUME_STATUS = re.compile(r"<status>[a-z]+</status>(?=<volumeId>)")
_CHANGING = re.compile(
    r"<(?P<name>stateReason|tagSet|instanceState|reason)(?:/>|>.*?</(?P=name)>)", re.DOTALL
)
_CHANGING_NAMES = ("stateReason", "tagSet", "instanceState", "reason")


@dataclass(frozen=True)
class Piece:
    """One instance's ``item`` and what its reservation has before and after the instances."""

    fixed: tuple[Any, ...]
    shown: tuple[Any, ...]
    before: str
    item: str
    after: str

    def changed(self, shown: tuple[Any, ...], instance: LocalInstance) -> "Piece | None":
        """The piece of the instance as it is now; None if moto has to write it."""
        head, mark, tail = self.item.rpartition(_INTERFACES)
        statuses = [block.status for block in instance.block_device_mapping.values()]
        found = [match["name"] for match in _CHANGING.finditer(tail)]
        if not mark or tuple(found) != _CHANGING_NAMES:
            return None
        if len(_VOLUME_STATUS.findall(head)) != len(statuses):
            return None
        coming = iter(statuses)
        head = _VOLUME_STATUS.sub(lambda _: f"<status>{next(coming)}</status>", head)
        elements = _changing(instance)
        tail = _CHANGING.sub(lambda match: elements[match["name"]], tail)
        return replace(self, shown=shown, item=head + mark + tail)


class Pieces:
    """Callers hold the engine's lock. ``write`` makes moto's document of one instance."""

    def __init__(self) -> None:
        self._pieces: dict[str, Piece] = {}
        self._volumes: dict[str, tuple[tuple[Any, ...], str]] = {}

    def void(self) -> None:
        self._pieces.clear()
        self._volumes.clear()

    def volume(self, volume: LocalVolume, write: Callable[[LocalVolume], str]) -> str:
        """The volume's ``item``."""
        shown = _shown_volume(volume)
        known = self._volumes.get(volume.id)
        if known is None or known[0] != shown:
            _, _, rest = write(volume).partition("<volumeSet>")
            known = self._volumes[volume.id] = shown, rest.rpartition("</volumeSet>")[0]
        return known[1]

    def reservation(
        self, instances: Iterable[LocalInstance], write: Callable[[LocalInstance], str]
    ) -> str:
        """The inside of a reservation that shows these instances."""
        pieces = [self._piece(instance, write) for instance in instances]
        items = "".join(piece.item for piece in pieces)
        return f"{pieces[0].before}{_OPEN}{items}{_CLOSE}{pieces[0].after}"

    def _piece(self, instance: LocalInstance, write: Callable[[LocalInstance], str]) -> Piece:
        fixed, shown = _fixed(instance), _shown(instance)
        piece = self._pieces.get(instance.id)
        if piece is not None and piece.fixed != fixed:
            piece = None
        if piece is not None and piece.shown != shown:
            piece = piece.changed(shown, instance)
        if piece is None:
            piece = _cut(fixed, shown, write(instance))
        self._pieces[instance.id] = piece
        return piece


def document(action: str, inside: str, next_token: str | None = None) -> str:
    """An answer's XML around what is inside."""
    token = f"<nextToken>{escape(next_token)}</nextToken>" if next_token else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
        f"{inside}{token}<requestId>request-id</requestId></{action}Response>"
    )


def _cut(fixed: tuple[Any, ...], shown: tuple[Any, ...], document_of_one: str) -> Piece:
    # Texts are escaped, so a tag's name is never part of one; only the outermost set holds others.
    before, _, rest = document_of_one.partition(_OPEN)
    item, _, after = rest.rpartition(_CLOSE)
    opening = before.index("<reservationId>")
    closing = min(after.index(end) for end in ("</item>", "<requestId>") if end in after)
    return Piece(fixed, shown, before[opening:], item, after[:closing])


def _fixed(instance: LocalInstance) -> tuple[Any, ...]:
    """What moto writes, and writes again when it changes."""
    return (
        instance.state == "terminated",
        instance.launch_time,
        instance.instance_type,
        tuple(
            (name, block.volume_id, block.delete_on_termination)
            for name, block in instance.block_device_mapping.items()
        ),
        tuple((nic.id, nic.private_ip_address, nic.public_ip) for nic in instance.nics.values()),
    )


def _shown(instance: LocalInstance) -> tuple[Any, ...]:
    """What is written here; see :func:`_changing`."""
    return (
        instance.state,
        instance.state_reason.code,
        instance.state_reason.message,
        instance._reason,
        tuple(instance.ec2_backend.tags.get(instance.id, {}).items()),
        tuple(block.status for block in instance.block_device_mapping.values()),
    )


def _shown_volume(volume: LocalVolume) -> tuple[Any, ...]:
    attachment = volume.attachment
    return (
        volume.status,
        volume.size,
        tuple(volume.ec2_backend.tags.get(volume.id, {}).items()),
        attachment and (attachment.instance.id, attachment.device, attachment.status),
    )


def _changing(instance: LocalInstance) -> dict[str, str]:
    reason = instance.state_reason
    tags = "".join(
        f"<item>{_element('key', key)}{_element('value', value)}</item>"
        for key, value in instance.ec2_backend.tags.get(instance.id, {}).items()
    )
    state = _element("code", str(instance._state.code)) + _element("name", instance.state)
    said = _element("code", reason.code) + _element("message", reason.message)
    return {
        "stateReason": f"<stateReason>{said}</stateReason>",
        "tagSet": f"<tagSet>{tags}</tagSet>" if tags else "<tagSet/>",
        "instanceState": f"<instanceState>{state}</instanceState>",
        "reason": _element("reason", instance._reason),
    }


def _element(name: str, text: str | None) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else f"<{name}/>"
