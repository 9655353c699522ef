"""The userlist: who may log in, one per line, ``name`` or ``name admin``.

Read on the laptop, where a mistake stops the launch, and by the hub at its start, where every good
line counts: one bad line must not lock a class out.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# A user name: nothing that an address, a page or a list would read as something else.
NAME = re.compile(r"[^\s,/\\#?%&:;\"'<>]{1,128}\Z")


@dataclass(frozen=True)
class Listed:
    """One person of the list. ``name`` is as JupyterHub has it: in lower case."""

    name: str
    admin: bool = False


def parse(text: str, source: str) -> tuple[tuple[Listed, ...], tuple[str, ...]]:
    """The people of the text, and a sentence for every line that is none.

    Empty lines and what follows a # do not count. Who is listed twice is an admin if either line
    says so.
    """
    people: dict[str, Listed] = {}
    findings: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name = words[0].lower()
        if words[1:] not in ([], ["admin"]) or not NAME.match(name):
            findings.append(
                f'{source}: line {number}: "{line.strip()}" is neither "name" nor "name admin".'
            )
            continue
        known = people.get(name)
        people[name] = Listed(name, len(words) > 1 or (known is not None and known.admin))
    return tuple(people.values()), tuple(findings)


def render(people: tuple[Listed, ...]) -> str:
    """The text of a list that ``parse`` gives back."""
    return "".join(f"{person.name}{' admin' * person.admin}\n" for person in people)


def names(path: str | os.PathLike[str]) -> tuple[set[str], set[str]]:
    """(everybody, admins) of the file; nobody if there is none."""
    try:
        people, _ = parse(Path(path).read_text("utf-8-sig"), str(path))
    except FileNotFoundError:
        return set(), set()
    return {person.name for person in people}, {p.name for p in people if p.admin}
