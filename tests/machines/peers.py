"""Machines that are a network namespace and nothing else: the network is real, nothing boots."""

import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local.clouds import Cloud, wait_for
from machines.clouds import need_root

from cloudjhub.local import LocalEC2, LocalSettings
from cloudjhub.local.machines.base import AttachedVolume, MachineSpec
from cloudjhub.local.machines.fleet import Kind
from cloudjhub.local.machines.standin import StandInMachine
from cloudjhub.local.vpc import Link, Network
from cloudjhub.local.vpc.namespace import inside, listen

SETTINGS = LocalSettings(
    variant="booted",
    pending_seconds=0.0,
    boot_seconds=0.0,
    stopping_seconds=0.0,
    shutting_down_seconds=0.0,
    volume_seconds=0.0,
)
#: for what must arrive
PATIENCE_SECONDS = 30.0
#: for what must not
DOUBT_SECONDS = 0.4
PORT = 22


@dataclass
class PeerHost:
    """What such machines have together, where those that boot have more."""

    network: Network | None = None
    disks: None = None


class Peer(StandInMachine):
    """Joins and leaves as a machine that boots does."""

    def __init__(self, spec: MachineSpec, host: PeerHost):
        super().__init__(spec)
        self._peer_host = host

    def power_on(self, volumes: Sequence[AttachedVolume]) -> None:
        assert self._peer_host.network is not None
        link = self._peer_host.network.join(self.spec.instance_id, self.spec.address, self.spec.mac)
        link.configure()
        super().power_on(volumes)

    def destroy(self) -> None:
        super().destroy()
        assert self._peer_host.network is not None
        self._peer_host.network.leave(self.spec.instance_id)


def peer_kind(settings: LocalSettings, state_dir: Path) -> Kind:
    """In the place of ``choose_kind``."""
    host = PeerHost()
    return Kind("booted", "admin", "jupyter", lambda spec: Peer(spec, host), host)


@contextmanager
def local_ec2(folder: Path) -> Iterator["Vpc"]:
    """Ends with the block."""
    need_root()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloudjhub.local.service.choose_kind", peer_kind)
        ec2 = LocalEC2(folder, SETTINGS)
        ec2.start()
    try:
        yield Vpc(ec2)
    finally:
        ec2.stop()


@dataclass
class Place:
    """Somewhere that sends and is sent to: a machine, or this host with ``namespace`` None."""

    namespace: str | None

    def do(self, work: Any) -> Any:
        return inside(self.namespace, work) if self.namespace else work()

    def seen_as(self, address: str, port: int = PORT, source: str = "") -> str:
        """What the other side takes us for; fails the test if it is not reached."""
        return self.do(lambda: ask(address, port, source, PATIENCE_SECONDS))

    def reaches(self, address: str, port: int = PORT, source: str = "") -> bool:
        """Whether a connection comes about; for those that ought not to."""
        try:
            self.do(lambda: ask(address, port, source, DOUBT_SECONDS))
        except OSError:
            return False
        return True

    def pings(self, address: str, seconds: float = DOUBT_SECONDS) -> bool:
        return self.do(lambda: echo(address, seconds))


HOST = Place(None)


@dataclass
class Machine(Place):
    """A running instance."""

    id: str
    link: Link
    listener: "Listener"

    @property
    def address(self) -> str:
        return self.link.address


class Listener:
    """Tells everybody who connects what their address looks like."""

    def __init__(self, namespace: str | None, port: int = PORT):
        if namespace:
            self._socket = listen(namespace, "0.0.0.0", port)
        else:
            self._socket = socket.create_server(("0.0.0.0", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, (address, _) = self._socket.accept()
                with connection, suppress(OSError):
                    connection.sendall(address.encode())

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def ask(address: str, port: int, source: str, seconds: float) -> str:
    with socket.socket() as connection:
        connection.settimeout(seconds)
        connection.bind((source, 0))
        connection.connect((address, port))
        return connection.recv(100).decode()


def echo(address: str, seconds: float) -> bool:
    """One ICMP echo request and its reply."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(seconds)
        number = os.getpid() & 0xFFFF
        checksum = ~((8 << 8) + number) & 0xFFFF
        checksum -= ((8 << 8) + number) >> 16
        raw.sendto(struct.pack("!BBHHH", 8, 0, checksum & 0xFFFF, number, 0), (address, 0))
        with suppress(TimeoutError):
            while True:
                packet = raw.recv(1500)
                if packet[20] == 0 and packet[24:26] == struct.pack("!H", number):
                    return True
    return False


class Vpc(Cloud):
    """A local EC2 whose machines are peers."""

    def __init__(self, ec2: LocalEC2):
        super().__init__(ec2)
        self.ids = ec2.engine.backend.seeded
        self.network = ec2.engine.network.network
        self._listeners: list[Listener] = []

    def machine(self, group: str | None = None, *, public: bool = False, **changes: Any) -> Machine:
        """A new machine that listens, in a group that admits nobody unless one is named."""
        return self.machines(1, group, public=public, **changes)[0]

    def machines(
        self, count: int, group: str | None = None, *, public: bool = False, **changes: Any
    ) -> list[Machine]:
        interface = {
            "DeviceIndex": 0,
            "SubnetId": self.ids["subnet-public" if public else "subnet-a"],
            "Groups": [group or self.group()],
            "AssociatePublicIpAddress": public,
        }
        wanted = {"NetworkInterfaces": [interface], "SubnetId": None, "SecurityGroupIds": None}
        return [self.joined(i) for i in self.launch(count, **wanted | changes)]

    def joined(self, instance_id: str) -> Machine:
        """The machine of an instance that is starting."""
        self.wait_booted(instance_id)
        link = next(i for i in self.network.links() if i.instance_id == instance_id)
        return Machine(link.namespace, instance_id, link, Listener(link.namespace))

    def wait_booted(self, instance_id: str) -> None:
        instances = self.ec2.engine.backend.instances
        wait_for(f"{instance_id} booted", lambda: instances[instance_id].booted)

    def group(self, *admitted: dict[str, Any], egress: bool = True) -> str:
        """A new security group with these IpPermissions."""
        name = f"group-{len(self.api.describe_security_groups()['SecurityGroups'])}"
        vpc = self.ids["vpc"]
        made = self.api.create_security_group(GroupName=name, Description=name, VpcId=vpc)
        if admitted:
            self.admit(made["GroupId"], *admitted)
        if not egress:
            everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            self.api.revoke_security_group_egress(
                GroupId=made["GroupId"], IpPermissions=[everything]
            )
        return made["GroupId"]

    def admit(self, group: str, *admitted: dict[str, Any]) -> None:
        self.api.authorize_security_group_ingress(GroupId=group, IpPermissions=list(admitted))

    def public_address(self, instance_id: str) -> str | None:
        return self.instance(instance_id).get("PublicIpAddress")


def tcp(port: int, *, cidr: str = "", group: str = "", last: int | None = None) -> dict[str, Any]:
    return permission("tcp", port, port if last is None else last, cidr=cidr, group=group)


def permission(
    protocol: str, first: int = -1, last: int = -1, *, cidr: str = "", group: str = ""
) -> dict[str, Any]:
    """One of EC2's IpPermissions."""
    who = (
        {"UserIdGroupPairs": [{"GroupId": group}]}
        if group
        else {"IpRanges": [{"CidrIp": cidr or "0.0.0.0/0"}]}
    )
    ports = {} if protocol == "-1" else {"FromPort": first, "ToPort": last}
    return {"IpProtocol": protocol, **ports, **who}
