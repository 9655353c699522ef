"""What policy values match: wildcards, ARNs and policy variables.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from cloudjhub.errors import CloudJHubError

#: condition key, lower case -> its value, or its values where a request can carry several
Context = Mapping[str, str | tuple[str, ...]]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_WITH_DEFAULT = re.compile(r"^\s*([^,\s]+)\s*(?:,\s*'([^']*)'\s*)?$")
# ${*}, ${?} and ${$} stand for these characters themselves.
_ESCAPES = frozenset("*?$")
# What marks a character as itself: private use, so that no policy holds it.
_LITERAL = "\ue000"
_ARN_PARTS = 6


class UnsupportedPolicy(CloudJHubError):
    """A policy says something that is not evaluated here; guessing would be worse."""

    remedy = "Write it with the elements and operators that cloudjhub.policy knows."


def condition_key(name: str) -> str:
    """Keys are compared without regard to case, tag keys inside them included."""
    return name.lower()


def with_variables(value: str, context: Context) -> str | None:
    """The value with its variables filled in; None: one of them has no value.

    Wildcards that come from a variable, or are escaped, are marked as meaning themselves;
    the functions below know the mark.
    """
    pieces, end = [], 0
    for found in _VARIABLE.finditer(value):
        filled = _filled(found[1], context)
        if filled is None:
            return None
        marked = re.sub(r"[*?]", lambda wild: _LITERAL + wild[0], filled)
        pieces += [value[end : found.start()], marked]
        end = found.end()
    return "".join([*pieces, value[end:]])


def _filled(inside: str, context: Context) -> str | None:
    if inside in _ESCAPES:
        return inside
    parsed = _WITH_DEFAULT.match(inside)
    if parsed is None:
        raise UnsupportedPolicy(f"The policy variable ${{{inside}}} cannot be read.")
    value = context.get(condition_key(parsed[1]), parsed[2])
    if isinstance(value, tuple):
        # Keys with several values cannot be variables.
        return None
    return value


def plain(value: str) -> str:
    """Without the marks of :func:`with_variables`."""
    return value.replace(_LITERAL, "")


def matches_wildcards(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """``*`` is any run of characters, ``?`` any one of them."""
    return _glob(pattern, "(?s:.*)", ignore_case).fullmatch(text) is not None


def matches_resource(pattern: str, arn: str) -> bool:
    """A Resource element. ``*`` passes a colon only where it ends a part of the ARN."""
    if plain(pattern) == "*":
        return True
    return _glob(pattern, "[^:]*", False).fullmatch(arn) is not None


def matches_arn(pattern: str, arn: str) -> bool:
    """ArnEquals and ArnLike, which are the same: each of the six parts on its own."""
    patterns, parts = _arn_parts(pattern), _arn_parts(arn)
    if len(patterns) != _ARN_PARTS or len(parts) != _ARN_PARTS:
        return False
    return all(matches_wildcards(*pair) for pair in zip(patterns, parts, strict=True))


def _arn_parts(arn: str) -> list[str]:
    return arn.split(":", _ARN_PARTS - 1)


@lru_cache(maxsize=4096)
def _glob(pattern: str, star: str, ignore_case: bool) -> re.Pattern[str]:
    pieces: list[str] = []
    characters = iter(enumerate(pattern))
    for at, character in characters:
        if character == _LITERAL:
            pieces.append(re.escape(next(characters)[1]))
        elif character == "*":
            ends_part = pattern[at + 1 : at + 2] in ("", ":")
            pieces.append("(?s:.*)" if ends_part else star)
        else:
            pieces.append("(?s:.)" if character == "?" else re.escape(character))
    return re.compile("".join(pieces), re.IGNORECASE if ignore_case else 0)
