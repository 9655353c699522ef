"""BootedMachine: the Machine that boots Debian under systemd-nspawn."""

import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cloudjhub.local import processes
from cloudjhub.local.machines.base import AttachedVolume, MachineSpec
from cloudjhub.local.machines.booted import devices, host_settings
from cloudjhub.local.machines.booted.cgroup import ControlGroup
from cloudjhub.local.machines.booted.devices import Shown
from cloudjhub.local.machines.booted.disks import Disks
from cloudjhub.local.machines.booted.frozen import frozen
from cloudjhub.local.machines.booted.guest import Guest, nspawn_command
from cloudjhub.local.machines.disk import CONSOLE_BYTES

#: the account that cloud-init makes, as in Debian's images for EC2
CONTROL_ACCOUNT = "admin"
# Whatever a busy computer has kept from ending holds a shutdown up for 90 seconds otherwise.
_MANAGER = "[Manager]\nDefaultTimeoutStopSec=20s\n"
_COMMAND_SECONDS = 20.0


class Link(Protocol):
    """A machine's place in the network."""

    @property
    def nspawn_arguments(self) -> list[str]: ...

    @property
    def network_unit(self) -> str:
        """The text of /etc/systemd/network/10-host0.network."""

    @property
    def name_server(self) -> str: ...


class Network(Protocol):
    """Where machines get their links; every method can be repeated."""

    def join(self, instance_id: str, private_ip: str, mac: str) -> Any: ...

    def leave(self, instance_id: str) -> None: ...


@dataclass
class BootedHost:
    """What machines use of this computer. ``network`` is there before the first one boots."""

    state_dir: Path
    disks: Disks
    network: Network | None = None


class BootedMachine:
    """Its folder holds what is written into it at each boot; its disk is the root volume's."""

    def __init__(self, spec: MachineSpec, host: BootedHost):
        self.spec = spec
        self.host = host
        self.lock = threading.RLock()
        self._guest: Guest | None = None
        self._group = ControlGroup(host.state_dir, spec.instance_id)
        self._shown: dict[str, Shown] = {}

    # -- power ---------------------------------------------------------------------------------

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        self.power_off()
        spec, folder = self.spec, self.spec.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        assert self.host.network is not None
        link = self.host.network.join(spec.instance_id, spec.address, spec.mac)
        self.host.disks.ensure_root(spec.root)
        self._write_files(link)
        self._show(volumes)
        nspawn = nspawn_command(
            spec.instance_id, folder / "root", spec.hostname, self._arguments(link)
        )
        self._group.make(memory_mib=spec.memory_mib, vcpus=spec.vcpus)
        root = self.host.disks.device(spec.root.id).path
        self._log("boots")
        self._guest = Guest.start(
            [str(folder), root, *self.host.disks.layers(spec.root.id), "--", *nspawn],
            group=self._group,
            console=self._console_path,
            environment={
                processes.ID_VARIABLE: spec.instance_id,
                processes.STATE_VARIABLE: str(self.host.state_dir),
            },
        )
        processes.write_leader(folder, self._guest.pid)

    def power_off(self) -> None:
        if self._guest is None:
            return
        self._guest.power_off()
        self._guest = None
        (self.spec.folder / processes.LEADER_FILE).unlink(missing_ok=True)
        self._group.remove()
        for volume_id in (self.spec.root.id, *self._shown):
            self.host.disks.release(volume_id)
        self._shown.clear()
        self._log("is off")

    def crash(self) -> None:
        if self._guest:
            self._guest.kill()

    def freeze(self) -> None:
        self._group.freeze()

    def thaw(self) -> None:
        self._group.thaw()

    def destroy(self) -> None:
        self.power_off()
        if self.host.network:
            self.host.network.leave(self.spec.instance_id)
        shutil.rmtree(self.spec.folder, ignore_errors=True)

    # -- volumes -------------------------------------------------------------------------------

    def attach(self, volume: AttachedVolume) -> None:
        if volume.id in self._shown or not self.is_alive():
            return
        shown = self._device_of(volume, devices.first_free(self._shown.values()))
        self._tell(devices.appear(shown))
        devices.link_by_id(self._by_id, shown)

    def detach(self, volume_id: str) -> None:
        devices.unlink_by_id(self._by_id, volume_id)
        if shown := self._shown.pop(volume_id, None):
            self._tell(devices.vanish(shown))
            self.host.disks.release(volume_id)

    def is_mounted(self, volume_id: str) -> bool:
        shown = self._shown.get(volume_id)
        return bool(shown and self._guest and self._guest.mount_point(shown.device.number))

    def _tell(self, script: str) -> None:
        """Runs a shell script inside. A machine that goes off meanwhile need not be told."""
        try:
            if self._guest and self._guest.wait_init():
                self._guest.run(["sh", "-c", script], _COMMAND_SECONDS)
        except subprocess.CalledProcessError:
            if self.is_alive():
                raise

    # -- looks ---------------------------------------------------------------------------------

    def is_on(self) -> bool:
        return self._guest is not None

    def is_alive(self) -> bool:
        return self._guest is not None and self._guest.is_alive()

    def wants_reboot(self) -> bool:
        return self._guest is not None and self._guest.wants_reboot()

    def console(self) -> str:
        try:
            with self._console_path.open("rb") as log:
                log.seek(max(0, self._console_path.stat().st_size - CONSOLE_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def pids(self) -> list[int]:
        return processes.tree(self._guest.pid) if self._guest else []

    def run(self, command: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
        if self._guest is None:
            raise RuntimeError(f"{self.spec.instance_id} is off")
        return self._guest.run(command, timeout_seconds)

    # -- snapshots -----------------------------------------------------------------------------

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Takes the volume as it is at one moment; whoever writes to it meanwhile waits."""
        with frozen(self._mounted_at(volume_id)):
            self.host.disks.take(volume_id, snapshot_id)

    def _mounted_at(self, volume_id: str) -> Path | None:
        """A folder of the volume's file system as the host reaches it; None if none is mounted."""
        if not self.is_alive() or self._guest is None:
            return None
        if volume_id == self.spec.root.id:
            return Path(f"/proc/{self._guest.pid}/root{self.spec.folder}/disk")
        shown = self._shown.get(volume_id)
        return self._guest.mount_point(shown.device.number) if shown else None

    # -- parts ---------------------------------------------------------------------------------

    @property
    def _console_path(self) -> Path:
        return self.spec.folder / "console.log"

    @property
    def _by_id(self) -> Path:
        return self.spec.folder / "dev-disk" / "by-id"

    def _arguments(self, link: Link) -> list[str]:
        binds = [bind for shown in self._shown.values() for bind in devices.binds(shown)]
        registries = [f"--bind-ro={folder}" for folder in host_settings.folders()]
        return [
            f"--bind={self._by_id.parent}:/dev/disk",
            *binds,
            *registries,
            *link.nspawn_arguments,
        ]

    def _show(self, volumes: Sequence[AttachedVolume]) -> None:
        """Devices of the root volume and of exactly these, under their names by id."""
        shutil.rmtree(self._by_id.parent, ignore_errors=True)
        self._shown.clear()
        for number, volume in enumerate((self.spec.root, *volumes)):
            devices.link_by_id(self._by_id, self._device_of(volume, number))

    def _device_of(self, volume: AttachedVolume, number: int) -> Shown:
        if number:
            self.host.disks.ensure(volume)
        shown = Shown(volume, self.host.disks.device(volume.id), number)
        self._shown[volume.id] = shown
        return shown

    def _write_files(self, link: Link) -> None:
        """What boot.sh copies over the root: the network always, the host's settings once."""
        files = self.spec.folder / "files"
        settled = self.spec.folder / "settled"
        shutil.rmtree(files, ignore_errors=True)
        network = files / "etc" / "systemd" / "network"
        network.mkdir(parents=True)
        (network / "10-host0.network").write_text(link.network_unit)
        (files / "etc" / "resolv.conf").write_text(f"nameserver {link.name_server}\n")
        manager = files / "etc" / "systemd" / "system.conf.d"
        manager.mkdir()
        (manager / "10-local-ec2.conf").write_text(_MANAGER)
        if not settled.exists():
            host_settings.write(files)
            settled.touch()
        for path in files.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _log(self, what: str) -> None:
        """A line of the machine's "firmware" on its console."""
        with self._console_path.open("a") as log:
            log.write(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {self.spec.instance_id} {what}\n")
