"""One machine's place in the network."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import leftovers
from cloudjhub.local.vpc.commands import ip, run
from cloudjhub.local.vpc.namespace import inside

_NETWORK_UNIT = """\
[Match]
Name=host0

[Link]
MACAddress={mac}

[Network]
Address={address}/{prefix}
Gateway={gateway}
DNS={name_server}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


@dataclass(frozen=True)
class Link:
    """How a machine gets its network: a namespace of its own with one interface, ``host0``.

    The namespace is there before the machine boots and stays when it reboots.
    """

    instance_id: str
    address: str
    mac: str
    #: the machine's network namespace
    namespace: str
    #: the router's end
    device: str
    prefix: int
    gateway: str
    name_server: str

    @property
    def netns(self) -> Path:
        return leftovers.NAMESPACES / self.namespace

    @property
    def nspawn_arguments(self) -> list[str]:
        # Without the capability systemd-networkd cannot set up the interface.
        return [f"--network-namespace-path={self.netns}", "--capability=CAP_NET_ADMIN"]

    @property
    def network_unit(self) -> str:
        """The text of /etc/systemd/network/10-host0.network."""
        return _NETWORK_UNIT.format(
            mac=self.mac,
            address=self.address,
            prefix=self.prefix,
            gateway=self.gateway,
            name_server=self.name_server,
        )

    def configure(self) -> None:
        """Does what the unit says, for a machine without systemd."""
        ip(
            [
                "link set lo up",
                f"address replace {self.address}/{self.prefix} dev host0",
                "link set host0 up",
                f"route replace default via {self.gateway}",
            ],
            namespace=self.namespace,
        )


def device_of(instance_id: str) -> str:
    """At most 15 characters, as the kernel wants it."""
    return "m" + hashlib.sha256(instance_id.encode()).hexdigest()[:12]


def plug_in(link: Link, router: str) -> None:
    """Makes namespace and cable, and the route to the machine."""
    ip([f"netns add {link.namespace}"])
    ip(
        [
            f"link add {link.device} type veth peer name host0 address {link.mac} "
            f"netns {link.namespace}",
            f"link set {link.device} up",
            f"route replace {link.address}/32 dev {link.device}",
        ],
        namespace=router,
    )
    inside(router, lambda: _answer_at_once(link.device))


def _answer_at_once(device: str) -> None:
    """Without the up to 0.8 s that the kernel puts before an ARP answer given for others.

    A new interface has this from the first namespace's default, whatever its own one's says.
    """
    Path(f"/proc/sys/net/ipv4/neigh/{device}/proxy_delay").write_text("0")


def is_plugged_in(link: Link, router: str) -> bool:
    """Whether both ends are there, as after a reboot of the machine."""
    try:
        run("ip", "-n", router, "link", "show", link.device)
        run("ip", "-n", link.namespace, "link", "show", "host0")
    except LocalEC2Error:
        return False
    return True


def unplug(link: Link, router: str) -> None:
    """Takes it away, also under a machine that runs. Repeatable."""
    with suppress(LocalEC2Error):
        ip([f"link delete {link.device}"], namespace=router)
    with suppress(LocalEC2Error):
        ip([f"netns delete {link.namespace}"])
