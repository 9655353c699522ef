"""Which part of 127/8 is ours: two local EC2s on one computer must not share addresses."""

import errno
import ipaddress
import socket

from cloudjhub.local.settings import LocalEC2Error

FIRST_NETWORK = 64
LAST_NETWORK = 127
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class NetworkClaim:
    """One 127.X.0.0/16, ours as long as the claim is open or this process lives.

    The claim is a bound port on an address of the network that no machine gets, so that it
    holds between processes and accounts, and ends with the process.
    """

    def __init__(self, number: int, held: socket.socket):
        self.number = number
        self._held = held

    @property
    def cidr(self) -> str:
        return f"127.{self.number}.0.0/16"

    def close(self) -> None:
        self._held.close()


def claim(number: int, port: int) -> NetworkClaim | None:
    """Claims 127.<number>.0.0/16; None if another local EC2 has it."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((f"127.{number}.255.254", port))
        held.listen(1)
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise LocalEC2Error(
            f"Cannot use 127.{number}.255.254:{port} on this computer: {error.strerror}.",
            "Linux has all of 127.0.0.0/8; ports below 1024 need root.",
        ) from error
    return NetworkClaim(number, held)


def claim_free(port: int) -> NetworkClaim:
    """Claims the first network nobody has, from 127.64.0.0/16 on. Raises LocalEC2Error."""
    for number in range(FIRST_NETWORK, LAST_NETWORK + 1):
        if found := claim(number, port):
            return found
    raise LocalEC2Error("Every network from 127.64 to 127.127 is taken by another local EC2.")


def reclaim(number: int, port: int) -> NetworkClaim:
    """Claims the network a state folder was made with. Raises LocalEC2Error if it is taken."""
    if found := claim(number, port):
        return found
    raise LocalEC2Error(
        f"Another local EC2 is using 127.{number}.0.0/16, where this one's machines have their "
        "addresses.",
        "Stop it first.",
    )


def is_loopback(cidr: str) -> bool:
    """Whether machines of this computer can have these addresses."""
    network = ipaddress.ip_network(cidr)
    return network.version == 4 and network.subnet_of(LOOPBACK)
