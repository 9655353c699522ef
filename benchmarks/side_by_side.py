"""What benchmarks of a class share: who they are, which spawners they come to, what is printed."""

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import readme_block
from bench import as_lines, as_sentence, conditions

from cloudjhub.local.settings import Variant

MACHINES = ("standin", "auto", "userns", "plain")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of every such benchmark."""

    users: int
    ways: tuple[str, ...]  # of WAYS
    machines: Variant
    markdown: bool
    readme: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Who they are."""
        return tuple(f"user{number:04d}" for number in range(self.users))


class Found(Protocol):
    """How one way went."""

    @property
    def is_failure(self) -> bool: ...


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Report(Generic[F]):
    """How what was found is said; ``place`` is where the README has room for the tables."""

    place: str
    one_way: Callable[[F], str]
    tables: Callable[[Sequence[F], bool], str]  # told whether they are for a README


async def side_by_side(
    plan: Plan,
    said: Mapping[str, object],
    measure: Callable[[str], Awaitable[F]],
    report: Report[F],
) -> int:
    """Measure each way in turn and print everything; 1 if one of them is a failure."""
    said = conditions(**said)
    print(as_lines(said), flush=True)
    found: list[F] = []
    for way in plan.ways:
        found.append(await measure(way))
        print(report.one_way(found[-1]), flush=True)
    print(report.tables(found, plan.markdown), flush=True)
    if plan.readme:
        readme_block.put(report.place, f"{as_sentence(said)}\n{report.tables(found, True)}")
    print("\nNothing was left running.")
    return 1 if any(one.is_failure for one in found) else 0


# The command line -----------------------------------------------------------------------------


def command_line(
    text: str | None, *, users: str, ways: Sequence[str], machines: str
) -> argparse.ArgumentParser:
    """The arguments of all: a module's docstring, what its users are, which ways it knows."""
    command = argparse.ArgumentParser(description=(text or "").split("\n")[0])
    add = command.add_argument
    add("--users", type=user_count, default=30, metavar="N", help=f"{users} (30)")
    add(
        "--ways",
        type=_Ways(ways),
        default=tuple(ways),
        metavar="WAYS",
        help=f"which spawners, with commas between: {', '.join(ways)} (all)",
    )
    add(
        "--machines",
        choices=MACHINES,
        help=f"standin: one process stands for all of them; the others have an sshd each "
        f"({machines})",
    )
    add("--markdown", action="store_true", help="print the tables for a README")
    add("--readme", action="store_true", help="put the tables into this folder's README.md")
    return command


def user_count(text: str) -> int:
    """An argument: how many people."""
    if not text.isdecimal() or not 1 <= int(text) <= 4000:
        raise argparse.ArgumentTypeError("name 1 to 4000")
    return int(text)


@dataclass(frozen=True)
class _Ways:
    """Some of these, as an argument names them."""

    known: Sequence[str]

    def __call__(self, text: str) -> tuple[str, ...]:
        ways = tuple(text.split(","))
        if not set(ways) <= set(self.known):
            known = ", ".join(self.known)
            raise argparse.ArgumentTypeError(f"name some of {known}, with commas between")
        return ways
