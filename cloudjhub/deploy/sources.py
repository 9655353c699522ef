"""Where settings are read: flags, then environment, then secure.py, then instance_config.json.

The first that says something wins. A finding names the source, the key, the value and the
remedy; a value that may be secret is not repeated.
"""

import argparse
import difflib
import json
import os
import runpy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cloudjhub.deploy.findings import Finding, Refused
from cloudjhub.deploy.settings import Account, Settings

PREFIX = "CLOUDJHUB_"
CHECKOUT = Path(__file__).resolve().parents[2]
#: named by their place on the command line
PLACES = ("CLUSTER_NAME", "BASE_AMI", "PRIVATE_SUBNET_ID", "PUBLIC_SUBNET_ID")

_Model = TypeVar("_Model", bound=Account)


@dataclass(frozen=True)
class _Said:
    """A value and who said it."""

    value: Any
    source: str


class Parser(argparse.ArgumentParser):
    """Refuses an unknown flag with the nearest known one; takes no abbreviations.

    Flags may stand before, between and after what is named by its place.
    """

    def __init__(self, **arguments: Any):
        super().__init__(allow_abbrev=False, **arguments)

    def parse_args(self, args=None, namespace=None):  # type: ignore[override]
        return self.parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split()
        known = [option for action in self._actions for option in action.option_strings]
        hints = [_did_you_mean(flag.partition("=")[0], known) for flag in unknown]
        super().error(" ".join([message, *(hint for hint in hints if hint)]))


def add_arguments(parser: argparse.ArgumentParser, model: type[Account] = Settings) -> None:
    """The model's keys as flags, ``--like_this`` and ``--like-this``, and by place."""
    for key, field in _fields(model):
        if key in PLACES:
            parser.add_argument(key, nargs="?", help=field.description)
            continue
        name = key.lower()
        parser.add_argument(
            *dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]),
            dest=key,
            metavar=_metavar(field),
            help=_help(field),
            **_switch(field),
        )
    parser.add_argument(
        "--instance-config",
        "--instance_config",
        metavar="FILE",
        help="defaults instead of instance_config.json",
    )
    parser.add_argument(
        "--secure", metavar="FILE", help="the account's own things instead of secure.py"
    )


def _metavar(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true|false"
    return "NUMBER" if field.annotation is int else "VALUE"


def _help(field: FieldInfo) -> str:
    said = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    default = f" (default: {said})" if said not in ("", None) else ""
    return f"{field.description}{default}".replace("%", "%%")


def _switch(field: FieldInfo) -> dict[str, Any]:
    """``--plain_http`` alone means true."""
    return {"nargs": "?", "const": "true"} if field.annotation is bool else {}


def settings_from(
    arguments: Sequence[str], model: type[_Model] = Settings, description: str = ""
) -> _Model:
    """Parse and read in one go. Raises Refused; ends the process where argparse does."""
    parser = Parser(description=description)
    add_arguments(parser, model)
    return read(parser.parse_args(arguments), model)


def read(
    options: argparse.Namespace,
    model: type[_Model] = Settings,
    environment: Mapping[str, str] | None = None,
) -> _Model:
    """The settings, from the parsed flags and all other sources. Raises Refused."""
    environment = os.environ if environment is None else environment
    findings: list[Finding] = []
    said: dict[str, _Said] = {}
    for layer in (
        _config_file(options, environment, findings),
        _secure_file(options, environment, findings),
        _environment(environment, findings),
        _flags(options),
    ):
        said |= layer
    wanted = {key for key, _ in _fields(model)}
    values = {key: each.value for key, each in said.items() if key in wanted}
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        findings += [_refusal(entry, said, model) for entry in error.errors()]
    else:
        findings += _half_a_key(values)
    if findings:
        raise Refused(findings)
    return settings


def _half_a_key(values: Mapping[str, Any]) -> list[Finding]:
    """With one half alone boto3 would ask in the name of somebody else whom it finds."""
    halves = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY")
    given = [key for key in halves if values.get(key)]
    if len(given) != 1:
        return []
    remedy = f"Give both, or neither of {' and '.join(halves)}."
    return [Finding("is only half of an access key.", given[0], remedy)]


def secrets_of(settings: Account) -> set[str]:
    """The values that no output may show."""
    fields = type(settings).model_fields.items()
    values = {str(getattr(settings, name)) for name, field in fields if not field.repr}
    return values - {""}


# -- the sources


def _flags(options: argparse.Namespace) -> dict[str, _Said]:
    known = {key for key, _ in _fields(Settings)}
    return {
        key: _Said(value, f"--{key.lower()}" if key not in PLACES else "command line")
        for key, value in vars(options).items()
        if key in known and value is not None
    }


def _environment(environment: Mapping[str, str], findings: list[Finding]) -> dict[str, _Said]:
    known = {f"{PREFIX}{key}": key for key, _ in _fields(Settings)}
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        # Only what looks like a slip: other programs may use the prefix too.
        near = _nearest(name.removeprefix(PREFIX), known.values(), 0.85)
        if name not in known and near:
            remedy = f"Did you mean {PREFIX}{near}?"
            findings.append(Finding(f"{name} is no setting.", "environment", remedy))
    return {
        key: _Said(environment[name], f"environment {name}")
        for name, key in known.items()
        if name in environment
    }


def _config_file(
    options: argparse.Namespace, environment: Mapping[str, str], findings: list[Finding]
) -> dict[str, _Said]:
    named = getattr(options, "instance_config", None) or environment.get(
        "CLOUDJHUB_INSTANCE_CONFIG"
    )
    path = Path(named) if named else _near("instance_config.json")
    if not named and not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "Correct it, or name another with --instance-config."
        findings.append(Finding(f"cannot be read as JSON: {error}.", str(path), remedy))
        return {}
    if not isinstance(values, dict):
        findings.append(Finding("is not one JSON object.", str(path), 'Write {"KEY": value}.'))
        return {}
    return _known_of(values, str(path), findings)


def _secure_file(
    options: argparse.Namespace, environment: Mapping[str, str], findings: list[Finding]
) -> dict[str, _Said]:
    named = getattr(options, "secure", None) or environment.get("CLOUDJHUB_SECURE")
    path = Path(named) if named else _near("launch_cluster/secure.py")
    if not named and not path.exists():
        return {}
    try:
        values = runpy.run_path(str(path))
    except Exception as error:  # whatever the operator's file raises
        remedy = "Compare it with launch_cluster/secure.py.example."
        what = f"does not run as Python: {type(error).__name__}."
        findings.append(Finding(what, str(path), remedy))
        return {}
    return _known_of({k: v for k, v in values.items() if k.isupper()}, str(path), findings)


def _near(name: str) -> Path:
    """In the checkout this file belongs to; an installed package looks in the current folder."""
    folder = CHECKOUT if (CHECKOUT / "launch_cluster").is_dir() else Path.cwd()
    return folder / name


def _known_of(values: Mapping[str, Any], source: str, findings: list[Finding]) -> dict[str, _Said]:
    known = [key for key, _ in _fields(Settings)]
    for key in values:
        if key not in known:
            hint = _did_you_mean(key, known) or "Remove it."
            findings.append(Finding(f"{key} is no setting.", source, hint))
    return {key: _Said(values[key], source) for key in known if key in values}


# -- findings


def _refusal(entry: Any, said: Mapping[str, _Said], model: type[Account]) -> Finding:
    key = str(entry["loc"][0])
    field = dict(_fields(model))[key]
    remedy = f"It is: {field.description}."
    if entry["type"] == "missing":
        return Finding("is missing.", key, f"{_how_to_say(key)} {remedy}")
    where = f"{said[key].source}: {key}" if key in said else key
    shown = f"{json.dumps(said[key].value, default=str)}: " if field.repr and key in said else ""
    reason = entry["msg"].removeprefix("Value error, ")
    return Finding(f"{shown}{reason}.", where, remedy)


def _how_to_say(key: str) -> str:
    if key in PLACES:
        return f"Give {' '.join(PLACES)} in this order."
    return f"Say --{key.lower()}, or set it in a file."


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = _nearest(name, known, 0.75) or _nearest(name.upper(), known, 0.75)
    return f"Did you mean {near}?" if near else ""


def _nearest(name: str, known: Iterable[str], likeness: float) -> str:
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)), "")


def _fields(model: type[Account]) -> Iterator[tuple[str, FieldInfo]]:
    """Key and description of each setting, those with a place in order of the places."""
    pairs = [(str(field.alias), field) for field in model.model_fields.values()]
    yield from sorted(pairs, key=lambda pair: PLACES.index(pair[0]) if pair[0] in PLACES else 99)
