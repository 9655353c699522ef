"""What differs between the distributions a cluster can be built from; nowhere else is it asked.

Sources: owners, names and login accounts of the AMIs:
https://documentation.ubuntu.com/aws/en/latest/aws-how-to/instances/find-ubuntu-images/ and
https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm. Packages: https://packages.ubuntu.com and
https://packages.debian.org. Caddy's own archive, for Ubuntu 22.04 which has no package of it:
https://caddyserver.com/docs/install#debian-ubuntu-raspbian.

Node.js is the same everywhere: the archives' 12 (22.04) and 18 (24.04, Debian 12) are older than
the 20 that configurable-http-proxy 5 needs, so it comes from a wheel (``provision.versions``). All
three mark the system's Python as externally managed or will (PEP 668): what is installed with pip
goes into environments of its own.
"""

import fnmatch
import shlex
from dataclasses import dataclass

CADDY_ARCHIVE = "https://dl.cloudsmith.io/public/caddy/stable"


@dataclass(frozen=True)
class Distribution:
    """One release of a distribution, as its cloud image is published on AWS.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernating-prerequisites.html lists those
    whose images hibernate. ``image_owner`` is the account that publishes it in the partition aws.
    ``caddy_archive`` "" = the distribution's own package.
    """

    key: str
    title: str
    os_id: str
    version_id: str
    image_owner: str
    image_name_pattern: str
    login: str
    caddy_archive: str = ""
    #: the first images that Amazon lists among those that hibernate: architecture -> serial
    hibernates_since: tuple[tuple[str, str], ...] = ()
    #: what writes the memory to the disk when EC2 asks for it; none: nothing does
    hibernation_packages: tuple[str, ...] = ()

    @property
    def worker_packages(self) -> tuple[str, ...]:
        """What a worker needs from the archive, by name."""
        return ("python3-venv", "ca-certificates", "e2fsprogs", "git", "curl", "nano", "unzip")

    @property
    def manager_packages(self) -> tuple[str, ...]:
        """What a manager needs from the archive; Caddy aside."""
        return ("python3-venv", "ca-certificates", "curl", "gnupg", "nftables", "openssl")


DEBIAN_12 = Distribution(
    key="debian-12",
    title="Debian 12",
    os_id="debian",
    version_id="12",
    image_owner="136693071363",
    image_name_pattern="debian-12-*",
    login="admin",
)
UBUNTU_22_04 = Distribution(
    key="ubuntu-22.04",
    title="Ubuntu 22.04",
    os_id="ubuntu",
    version_id="22.04",
    image_owner="099720109477",
    image_name_pattern="ubuntu/images/*ubuntu-jammy-22.04-*-server-*",
    login="ubuntu",
    caddy_archive=CADDY_ARCHIVE,
    hibernates_since=(("x86_64", "20230303"), ("arm64", "20240701")),
    hibernation_packages=("ec2-hibinit-agent",),
)
UBUNTU_24_04 = Distribution(
    key="ubuntu-24.04",
    title="Ubuntu 24.04",
    os_id="ubuntu",
    version_id="24.04",
    image_owner="099720109477",
    image_name_pattern="ubuntu/images/*ubuntu-noble-24.04-*-server-*",
    login="ubuntu",
    hibernation_packages=("ec2-hibinit-agent",),
)

DISTRIBUTIONS = (UBUNTU_22_04, UBUNTU_24_04, DEBIAN_12)


def of_image(name: str) -> Distribution | None:
    """The distribution of an AMI, by its name; None where the name says nothing known.

    Anybody may give an AMI such a name, also a copy of one's own.
    """
    for distribution in DISTRIBUTIONS:
        if fnmatch.fnmatchcase(name, distribution.image_name_pattern):
            return distribution
    return None


def of_os_release(text: str) -> Distribution | None:
    """The distribution a machine runs, from its /etc/os-release; None for any other."""
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    values = {name.strip(): "".join(shlex.split(value)[:1]) for name, _, value in lines}
    for distribution in DISTRIBUTIONS:
        if (values.get("ID"), values.get("VERSION_ID")) == (
            distribution.os_id,
            distribution.version_id,
        ):
            return distribution
    return None


def known_titles() -> str:
    """For sentences: every distribution that may be used."""
    return ", ".join(distribution.title for distribution in DISTRIBUTIONS)
