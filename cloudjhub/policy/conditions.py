"""The Condition element: operators, several keys, several values.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from cloudjhub.policy.values import (
    Context,
    UnsupportedPolicy,
    condition_key,
    matches_arn,
    matches_wildcards,
    plain,
    with_variables,
)

#: (value of the policy, value of the request) -> whether they match
Match = Callable[[str, str], bool]

_IF_EXISTS = "IfExists"
_SET_OPERATORS = ("ForAllValues", "ForAnyValue")


@dataclass(frozen=True)
class Operator:
    """One operator, read from its name."""

    match: Match
    negated: bool
    variables: bool
    if_exists: bool
    #: ForAllValues, ForAnyValue or ""
    over: str


def holds(condition: Mapping[str, Any], context: Context, *, variables: bool = True) -> bool:
    """Whether every operator holds for every key. ``variables``: whether ``${...}`` has a meaning.

    Raises UnsupportedPolicy for an operator that is not known here and for a key with several
    values without a set operator, for which AWS defines no answer.
    """
    # Everything is looked at before anything is decided, so that what is unknown always shows.
    results = [
        _key_holds(name, key, _listed(wanted), context, variables=variables)
        for name, keys in condition.items()
        for key, wanted in keys.items()
    ]
    return all(results)


def _key_holds(
    name: str, key: str, wanted: list[str], context: Context, *, variables: bool
) -> bool:
    present = context.get(condition_key(key))
    if name == "Null":
        return any(_truth(value) == (present is None) for value in wanted)
    operator = read_operator(name)
    filled = _filled(wanted, context) if operator.variables and variables else wanted
    known = [value for value in filled if value is not None]
    if operator.over:
        return _set_holds(operator, known, present)
    if isinstance(present, tuple):
        raise UnsupportedPolicy(
            f"{name} is applied to {key}, which can have several values. Write "
            f"ForAllValues:{name} or ForAnyValue:{name}."
        )
    if present is None:
        return operator.if_exists or operator.negated
    return _value_holds(operator, known, present)


def _value_holds(operator: Operator, wanted: list[str], value: str) -> bool:
    """One of the wanted values matches; none of them where the operator is negated."""
    return any(operator.match(pattern, value) for pattern in wanted) != operator.negated


def _set_holds(
    operator: Operator, wanted: list[str], present: str | tuple[str, ...] | None
) -> bool:
    values = (present,) if isinstance(present, str) else present or ()
    results = [_value_holds(operator, wanted, value) for value in values]
    # all() of nothing is true and any() of nothing is false, as AWS has it.
    return all(results) if operator.over == "ForAllValues" else any(results)


def _filled(wanted: list[str], context: Context) -> list[str | None]:
    """A variable without a value makes its policy value one that nothing equals."""
    return [with_variables(value, context) for value in wanted]


def _listed(values: Any) -> list[str]:
    every = values if isinstance(values, list) else [values]
    return [_text(value) for value in every]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise UnsupportedPolicy(f"Null and Bool compare with true or false, not with {value!r}.")
    return value.lower() == "true"


# -- operators ---------------------------------------------------------------------------------


def read_operator(name: str) -> Operator:
    """``ForAllValues:StringNotLikeIfExists`` and the like. Raises UnsupportedPolicy."""
    over, _, rest = name.rpartition(":")
    base = rest.removesuffix(_IF_EXISTS)
    if (over and over not in _SET_OPERATORS) or base not in _OPERATORS:
        raise UnsupportedPolicy(f"The condition operator {name} is not known here.")
    if over == "ForAnyValue" and base != rest:
        # What it says of a key that is missing, AWS's pages answer both ways.
        raise UnsupportedPolicy(f"What {name} says of a missing key is not known here.")
    match, negated, variables = _OPERATORS[base]
    return Operator(match, negated, variables, base != rest, over)


def _equal(pattern: str, value: str) -> bool:
    return plain(pattern) == value


def _equal_but_case(pattern: str, value: str) -> bool:
    return plain(pattern).casefold() == value.casefold()


def _same_truth(pattern: str, value: str) -> bool:
    return _truth(pattern) == (value.lower() == "true")


def _within(pattern: str, value: str) -> bool:
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError as error:
        raise UnsupportedPolicy(f"{pattern!r} is no range of addresses.") from error
    try:
        return ipaddress.ip_address(value) in network
    except ValueError:
        return False


def _ordered(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Match:
    """Compares request with policy. What the request says and cannot be read never matches."""

    def match(pattern: str, value: str) -> bool:
        try:
            wanted = read(pattern)
        except ValueError as error:
            raise UnsupportedPolicy(f"{pattern!r} cannot be compared with.") from error
        try:
            return compare(read(value), wanted)
        except ValueError:
            return False

    return match


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


def _moment(text: str) -> datetime:
    """ISO 8601, or seconds since 1970."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text), timezone.utc)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


_COMPARISONS: dict[str, tuple[Callable[[Any, Any], bool], bool]] = {
    "Equals": (lambda value, wanted: value == wanted, False),
    "NotEquals": (lambda value, wanted: value == wanted, True),
    "LessThan": (lambda value, wanted: value < wanted, False),
    "LessThanEquals": (lambda value, wanted: value <= wanted, False),
    "GreaterThan": (lambda value, wanted: value > wanted, False),
    "GreaterThanEquals": (lambda value, wanted: value >= wanted, False),
}

#: name -> match, whether the result is turned round, whether ``${...}`` is filled in
_OPERATORS: dict[str, tuple[Match, bool, bool]] = {
    "StringEquals": (_equal, False, True),
    "StringNotEquals": (_equal, True, True),
    "StringEqualsIgnoreCase": (_equal_but_case, False, True),
    "StringNotEqualsIgnoreCase": (_equal_but_case, True, True),
    "StringLike": (matches_wildcards, False, True),
    "StringNotLike": (matches_wildcards, True, True),
    "ArnEquals": (matches_arn, False, True),
    "ArnLike": (matches_arn, False, True),
    "ArnNotEquals": (matches_arn, True, True),
    "ArnNotLike": (matches_arn, True, True),
    "Bool": (_same_truth, False, False),
    "IpAddress": (_within, False, False),
    "NotIpAddress": (_within, True, False),
    **{
        f"{kind}{name}": (_ordered(read, compare), negated, False)
        for kind, read in (("Numeric", _number), ("Date", _moment))
        for name, (compare, negated) in _COMPARISONS.items()
    },
}
