"""What the verbs after a launch share: one cluster's lists and removals, and how a verb ends."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cloudjhub.account.clients import Clients
from cloudjhub.account.inventory import Inventory
from cloudjhub.account.listing import Listing, clusters
from cloudjhub.account.removal import Removal
from cloudjhub.deploy.findings import Refused
from cloudjhub.deploy.settings import Account
from cloudjhub.errors import CloudJHubError

Value = TypeVar("Value")

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Desk:
    """One cluster, seen from the operator's laptop."""

    account: Account
    listing: Listing
    removal: Removal
    clients: Clients
    #: how the verb was called, for what the operator may run next
    prog: str

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.account.cluster_name

    def others(self) -> str:
        """The clusters that exist, as the end of a sentence."""
        names = clusters(self.clients.ec2)
        return f"there are: {', '.join(names)}" if names else "there is none"


def desk(account: Account, prog: str | None, *, with_roles: bool = False) -> Desk:
    """Makes the clients. Raises EC2Error where the profile is unknown."""
    clients = Clients(account.access)
    name = account.cluster_name
    return Desk(
        account,
        Listing(name, clients.ec2, clients.iam if with_roles else None),
        Removal(name, clients.ec2, clients.iam),
        clients,
        prog or "cloudjhub VERB",
    )


def unknown(desk: Desk) -> int:
    """Say that there is no such cluster, and which there are; gives the exit code."""
    place = f"in {desk.account.region}"
    complain(f"There is no cluster {desk.cluster} {place}; {desk.others()}.")
    return FAILED


def known(desk: Desk) -> Inventory | None:
    """Everything of the cluster; None if there is nothing."""
    return desk.listing.everything() or None


def say(text: str = "") -> None:
    """A line for the operator, at once: who pipes the output sees progress too."""
    print(text, flush=True)


def complain(text: str) -> None:
    """A line that must not end up in a file of results."""
    print(text, file=sys.stderr, flush=True)


def ended(act: Callable[[], int]) -> int:
    """Run a verb; gives its exit code, or that of what went wrong, said in a sentence."""
    try:
        return act()
    except Refused as refused:
        for finding in refused.findings:
            complain(str(finding))
        complain(refused.remedy)
        return REFUSED
    except CloudJHubError as error:
        complain(error.advice)
        return FAILED
    except KeyboardInterrupt:
        complain("Interrupted. Run it again, and it goes on from where it was.")
        return INTERRUPTED
    except BrokenPipeError:
        nobody_reads()
        return FAILED


def nobody_reads() -> None:
    """Whoever read the output, such as `head`, has ended; Python would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def agreed(question: str, answer: str) -> bool:
    """Whether the operator types exactly the answer. An empty or ended input is a no."""
    try:
        return input(f"{question} ").strip() == answer
    except EOFError:
        say()
        return False


def wait_until(holds: Callable[[], bool], *, seconds: float) -> bool:
    """Ask again and again, ever less often; gives whether it came true in time."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while not holds():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
    return True


def counted(number: int, noun: str) -> str:
    """``1 machine``, ``2 machines``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Columns as wide as what stands in them."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
