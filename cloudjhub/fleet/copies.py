"""Snapshots of homes, and volumes made from them in other zones."""

from contextlib import suppress
from typing import Any

from cloudjhub.copy_spec import snapshot_arguments, volume_arguments
from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Snapshot, Tags, Volume
from cloudjhub.errors import EC2Unreachable, NotFound, PolicyRefuses
from cloudjhub.fleet.calls import Calls
from cloudjhub.fleet.shared_read import SharedRead


class Copies:
    """What EC2 is asked for while a home moves.

    ``traces``: owners' tags, by the id of what says that their moves may have left something.
    ``looked``: whether EC2 was asked for what earlier hubs left.
    """

    def __init__(self, ec2: EC2, calls: Calls):
        self._ec2 = ec2
        self._calls = calls
        self.traces: dict[str, Tags] = {}
        self.looked = False
        self._snapshots: SharedRead[list[Snapshot]] = SharedRead(
            lambda: self._calls.once("DescribeSnapshots", self._ec2.snapshots)
        )

    async def snapshots(self) -> list[Snapshot]:
        """All that were made to move homes, read after this call began; askers share a read."""
        return await self._snapshots.get()

    async def snapshot(self, home: Volume, attempt: str) -> Snapshot:
        """CreateSnapshot. EC2 has no token for it: one answer lost may be one snapshot more."""
        arguments = snapshot_arguments(self._ec2.cluster, home, attempt)
        return await self._calls.once("CreateSnapshot", self._ec2.create_snapshot, arguments)

    async def volume(self, home: Volume, snapshot: Snapshot, zone: str, attempt: str) -> Volume:
        """CreateVolume; the same one again for the same attempt and zone."""
        arguments = volume_arguments(home, snapshot, zone, attempt)
        return await self._patiently("CreateVolume", self._ec2.create_volume, arguments)

    async def delete_snapshot(self, snapshot: Snapshot) -> None:
        """DeleteSnapshot; of one that is gone: done."""
        try:
            with suppress(NotFound):
                await self._calls.once("DeleteSnapshot", self._ec2.delete_snapshot, snapshot.id)
        except PolicyRefuses:
            if snapshot.id in {each.id for each in await self.snapshots()}:
                raise

    async def _patiently(self, action: str, *call: Any) -> Any:
        # Of a snapshot that is too new to be known everywhere, too.
        return await self._calls.patiently(action, *call, retry=(NotFound, EC2Unreachable))
