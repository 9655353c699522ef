"""The network of one local EC2: a namespace that is its router, and a link to the host."""

import ipaddress
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cloudjhub.local.vpc import claims, commands, host, leftovers, link, namespace, rules
from cloudjhub.local.vpc.addresses import METADATA, NAME_SERVER, Addresses
from cloudjhub.local.vpc.link import Link
from cloudjhub.local.vpc.model import Model

#: largest subnet that AWS allows, and what a machine's own address is written with by default
DEFAULT_PREFIX = 20


class Network:
    """``open`` makes it, ``close`` leaves nothing of it.

    ``number`` chooses 10.<number>.0.0/16; None takes a free one. All methods may be called from
    any thread, and again.
    """

    def __init__(self, state_dir: Path, number: int | None = None):
        self._state_dir = state_dir.resolve()
        self._id = leftovers.id_of(state_dir)
        self._wanted = number
        self._lock = threading.RLock()
        self._held: IO[str] | None = None
        self._claim: claims.Claim | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._links: dict[str, Link] = {}
        self._ports: set[int] = set()
        self._loaded = ""
        #: address -> prefix length of its subnet
        self.prefix_of: Callable[[str], int] = lambda address: DEFAULT_PREFIX
        #: called, without a lock, after a machine joined or left
        self.on_change: Callable[[], None] = lambda: None

    # -- the whole -----------------------------------------------------------------------------

    def open(self) -> None:
        """Also removes what a predecessor with this state folder left. Raises LocalEC2Error."""
        commands.check()
        with self._lock:
            if self._claim is not None:
                return
            self._held = leftovers.lock(f"id-{self._id}", wait=True)
            try:
                leftovers.remove(self._id)
                self._claim = claims.claim(self._wanted, start=int(self._id, 16))
                self._reaper = self._start_reaper()
                self._make()
            except BaseException:
                self.close()
                raise

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        """A process that outlives ours, should ours be killed, and then cleans up."""
        return subprocess.Popen(
            [sys.executable, "-I", "-S", leftovers.__file__, str(self._state_dir)],
            stdin=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def _make(self) -> None:
        commands.ip([f"netns add {self.namespace}"])
        host.connect(self._id, self.addresses)
        host.admit(self._id, self.addresses, self._ports)
        commands.run("ip", "netns", "exec", self.namespace, "sh", "-c", _SYSCTLS)
        commands.ip(
            [
                "link set lo up",
                f"address add {METADATA}/32 dev lo",
                f"address add {self.addresses.router} peer {self.addresses.host}/32 "
                f"dev {host.UPLINK}",
                f"link set {host.UPLINK} up",
                f"route add default via {self.addresses.host}",
                # Machines that are not there: their packets go nowhere, and nobody says so.
                f"route add {self.addresses.vpc} via {self.addresses.host}",
            ],
            namespace=self.namespace,
        )
        self.apply(Model())

    def close(self) -> None:
        """Cuts off machines that are still there."""
        with self._lock:
            if self._held is None:
                return
            leftovers.remove(self._id)
            if self._claim is not None:
                self._claim.close()
            if self._reaper is not None:
                self._reaper.communicate(b".")
            leftovers.unlock(self._held)
            self._links.clear()
            self._held = self._claim = self._reaper = None
            self._loaded = ""

    # -- machines ------------------------------------------------------------------------------

    def join(self, instance_id: str, private_ip: str, mac: str) -> Link:
        """Gives a machine its link, or finds it again. Nothing passes before :meth:`apply`."""
        wanted = self._link(instance_id, private_ip, mac)
        with self._lock:
            known = self._links.get(instance_id)
            if known != wanted or not link.is_plugged_in(wanted, self.namespace):
                for old in filter(None, (known, wanted)):
                    link.unplug(old, self.namespace)
                link.plug_in(wanted, self.namespace)
                self._links[instance_id] = wanted
        self.on_change()
        return wanted

    def leave(self, instance_id: str) -> None:
        with self._lock:
            known = self._links.pop(instance_id, None)
            if known:
                link.unplug(known, self.namespace)
        if known:
            self.on_change()

    def links(self) -> list[Link]:
        with self._lock:
            return list(self._links.values())

    def _link(self, instance_id: str, address: str, mac: str) -> Link:
        prefix = self.prefix_of(address)
        subnet = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        return Link(
            instance_id=instance_id,
            address=address,
            mac=mac,
            namespace=leftovers.machine_namespace(self._id, instance_id),
            device=link.device_of(instance_id),
            prefix=prefix,
            gateway=str(subnet[1]),
            name_server=NAME_SERVER,
        )

    # -- what passes ---------------------------------------------------------------------------

    def apply(self, model: Model) -> None:
        """Makes the rules what the model says, in one step; connections that are open stay."""
        with self._lock:
            text = rules.ruleset(model, self.addresses)
            if text != self._loaded:
                commands.nft(text, namespace=self.namespace)
                self._loaded = text

    def admit(self, port: int) -> None:
        """Lets machines reach a TCP port of the host, at the host's address in the VPC."""
        with self._lock:
            self._ports.add(port)
            host.admit(self._id, self.addresses, self._ports)

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket on one of the router's addresses."""
        return namespace.listen(self.namespace, address, port)

    # -- addresses -----------------------------------------------------------------------------

    @property
    def addresses(self) -> Addresses:
        assert self._claim is not None, "the network is not open"
        return self._claim.addresses

    @property
    def number(self) -> int:
        return self.addresses.number

    @property
    def cidr(self) -> str:
        return self.addresses.vpc

    @property
    def host_address(self) -> str:
        """Where the host is in the VPC: the API and what :meth:`admit` opens."""
        return self.addresses.host

    @property
    def namespace(self) -> str:
        return leftovers.namespace(self._id)


#: The router answers for every address beyond itself, so that machines see one subnet; it tells
#: nobody of better ways, and drops what comes from where its answer would not go.
_SYSCTLS = """
cd /proc/sys/net/ipv4/conf
echo 1 > ../ip_forward
for each in all default; do
    echo 0 > $each/send_redirects
    echo 0 > $each/accept_redirects
    echo 1 > $each/rp_filter
done
echo 1 > default/proxy_arp
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
"""
