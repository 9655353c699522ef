"""server_config.json: read, checked whole, frozen.

The launch writes the file to /etc/jupyterhub/server_config.json on the manager. Every finding
names the file, the key, the value and the remedy.
"""

import difflib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from cloudjhub.errors import ConfigError
from cloudjhub.idle_config import IdleConfig
from cloudjhub.pool.timetable import Timetable, timetable

_Id = Annotated[str, Field(min_length=1)]
_InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
_SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
_GroupIds = tuple[Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")], ...]


def _readable_file(value: str) -> str:
    path = Path(value).expanduser()
    if not path.is_file():
        raise ValueError("there is no such file; put the private key there or correct the path")
    if not os.access(path, os.R_OK):
        raise ValueError("the hub may not read it; make the hub's account its owner, mode 0600")
    return str(path)


def at_least_one(values: tuple[str, ...]) -> tuple[str, ...]:
    """The same. Raises ValueError if there is none, or one of them twice."""
    if not values:
        raise ValueError("name at least one")
    if len(set(values)) < len(values):
        raise ValueError("name each only once")
    return values


def one_or_several(value: Any) -> Any:
    """``a``, ``a,b`` and a list in JSON's spelling as a list; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",")]


class _Machines(BaseModel):
    """Users' machines: what they are, where, how many. Sizes in GiB, times in seconds."""

    cluster_name: str = Field(
        alias="CLUSTER_NAME",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
        description="Name of the cluster; every resource carries it in the tag cloudjhub:cluster. "
        "A change takes effect when the hub is restarted.",
    )
    region: str = Field(
        alias="REGION",
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="AWS region, such as us-east-1. "
        "A change takes effect when the hub is restarted.",
    )
    ec2_endpoint_url: str | None = Field(
        default=None,
        alias="EC2_ENDPOINT_URL",
        pattern=r"^https?://.+",
        description="Address of the EC2 API where it is not Amazon's own, such as a local EC2. "
        "A change takes effect when the hub is restarted.",
    )
    worker_ami: str = Field(
        alias="WORKER_AMI",
        pattern=r"^ami-[0-9a-f]{8,17}$",
        description="AMI from which users' machines are made.",
    )
    worker_instance_types: Annotated[
        tuple[_InstanceType, ...], BeforeValidator(one_or_several), AfterValidator(at_least_one)
    ] = Field(
        alias="WORKER_INSTANCE_TYPE",
        strict=False,
        description="EC2 instance type of users' machines, such as t3.medium; or a list of types. "
        "The first is what users get; the others are tried in their order where Amazon has no "
        "capacity for it.",
    )
    worker_instance_type_choices: tuple[_InstanceType, ...] = Field(
        default=(),
        strict=False,
        alias="WORKER_INSTANCE_TYPE_CHOICES",
        description="Types a user may choose from when a machine is made for them. "
        "Empty: no choice.",
    )
    subnet_ids: Annotated[
        tuple[_SubnetId, ...], BeforeValidator(one_or_several), AfterValidator(at_least_one)
    ] = Field(
        alias="SUBNET_ID",
        strict=False,
        description="Private subnet of users' machines, or a list of them in several zones. New "
        "machines go into the first; the others are tried in their order where Amazon has no "
        "capacity in its zone.",
    )
    move_homes: Literal["ask", "always", "never"] = Field(
        default="ask",
        alias="MOVE_HOMES",
        description="What happens when Amazon has no capacity for a user's machine in the zone of "
        'its home, and other SUBNET_IDs lie in other zones. "ask": the user is told and may have '
        'the home moved there by a snapshot. "always": it is moved at once. "never": the user '
        "waits for capacity.",
    )
    worker_security_groups: Annotated[_GroupIds, AfterValidator(at_least_one)] = Field(
        alias="WORKER_SECURITY_GROUPS",
        strict=False,
        description="Ids of the security groups of users' machines.",
    )
    key_name: _Id = Field(
        alias="KEY_NAME",
        description="EC2 key pair whose public half new machines admit.",
    )
    worker_key_file: Annotated[str, AfterValidator(_readable_file)] = Field(
        alias="WORKER_KEY_FILE",
        description="Private key with which the hub reaches users' machines (file, mode 0600).",
    )
    worker_username: _Id = Field(
        default="ubuntu",
        alias="WORKER_USERNAME",
        description="Control account of users' machines: admits the key, may use sudo.",
    )
    notebook_username: str = Field(
        default="jupyter",
        alias="NOTEBOOK_USERNAME",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        description="Account that owns the home and runs notebooks; the same on every machine.",
    )
    worker_ssh_port: int = Field(
        default=22,
        alias="WORKER_SSH_PORT",
        ge=1,
        le=65535,
        description="Port of the machines' sshd.",
    )
    notebook_port: int = Field(
        default=8888,
        alias="NOTEBOOK_PORT",
        ge=1024,
        le=65535,
        description="Port on which single-user servers listen. A change takes effect at a "
        "server's next start.",
    )
    root_disk_gib: int = Field(
        default=8,
        alias="WORKER_EBS_SIZE",
        ge=1,
        le=16384,
        description="Root disk of a machine, GiB. Not smaller than the AMI's own (8 for Ubuntu).",
    )
    home_disk_gib: int = Field(
        default=1,
        alias="USER_HOME_EBS_SIZE",
        ge=0,
        le=16384,
        description="Home volume of a user, GiB. 0 keeps homes on the root disk: files are then "
        "lost when a machine has to be replaced.",
    )
    server_owner: str = Field(
        default="",
        alias="SERVER_OWNER",
        max_length=256,
        description="Who pays; written to the tag cloudjhub:paid-by of machines and volumes.",
    )
    on_user_delete: Literal["keep", "delete"] = Field(
        default="keep",
        alias="ON_USER_DELETE",
        description='"keep": machine and home outlive the user in the hub. "delete": both go, '
        "with every file, when the user or the named server is deleted.",
    )
    upgrade_machines: Literal["at_next_start", "never"] = Field(
        default="at_next_start",
        alias="UPGRADE_MACHINES",
        description='"at_next_start": a stopped machine of another AMI than WORKER_AMI is replaced '
        "when its user starts it, and the home moves to the new one; what lies outside the home is "
        'lost. "never": machines keep the AMI they were made from. Without home volumes '
        "(USER_HOME_EBS_SIZE 0) machines are never replaced.",
    )
    spare_seconds: int = Field(
        default=900,
        alias="SPARE_SECONDS",
        ge=60,
        description="Seconds after which a machine that was launched but given to nobody "
        "is removed.",
    )

    max_machines: int = Field(
        default=0,
        alias="MAX_MACHINES",
        ge=0,
        description="Most machines of the cluster that may run at the same time, spares "
        "included. 0: no limit but the account's quota.",
    )
    when_full: Literal["queue", "refuse"] = Field(
        default="queue",
        alias="WHEN_FULL",
        description="What a login finds that MAX_MACHINES or the account's quota leaves no machine "
        'for. "queue": it waits for its turn and sees its place. "refuse": it is told so at once.',
    )
    pool: Annotated[Timetable, BeforeValidator(timetable)] = Field(
        default=0,
        validate_default=True,
        alias="POOL",
        description="How many machines are kept ready for whoever comes next: a number, or a "
        'timetable such as {"always": 2, "mon,wed 08:50-10:00 Europe/Berlin": 25}; where several '
        "entries hold at a time, the largest counts. A change takes effect within a minute.",
    )
    pool_state: Literal["running", "stopped", "hibernated"] = Field(
        default="running",
        alias="POOL_STATE",
        description='"running": machines of the pool are ready at once, and cost as much as used '
        'ones. "stopped": they cost only their disks, and boot when they are given to someone. '
        '"hibernated": the same, and they wake up instead of booting; needs IDLE_ACTION '
        '"hibernate".',
    )
    pool_max: int = Field(
        default=50,
        alias="POOL_MAX",
        ge=0,
        le=1000,
        description="Most machines that the pool keeps ready, whatever POOL says.",
    )
    pool_spare_hours: int = Field(
        default=24,
        alias="POOL_SPARE_HOURS",
        ge=1,
        description="Hours after which a machine of the pool that nobody took is replaced by a new "
        "one.",
    )

    @property
    def worker_instance_type(self) -> str:
        """What users get if Amazon has it."""
        return self.worker_instance_types[0]

    @property
    def subnet_id(self) -> str:
        """Where new machines go if Amazon has room there."""
        return self.subnet_ids[0]

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """What makes it this cluster and not another; may not change under a running hub."""
        return (self.cluster_name, self.region, self.ec2_endpoint_url)


class ClusterConfig(IdleConfig, _Machines):
    """What a running cluster works from."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False, strict=True)


def load(path: str | os.PathLike[str]) -> ClusterConfig:
    """Read and check the whole file. Raises ConfigError with every finding."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: there is no such file; launch writes it, or name another."]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}."]) from error
    return parse(text, str(path))


def parse(text: str, source: str) -> ClusterConfig:
    """Check JSON text; ``source`` is the file's name in findings. Raises ConfigError."""
    try:
        values = json.loads(text, object_pairs_hook=without_repeats)
    except ValueError as error:
        raise ConfigError([f"{source}: is not valid JSON: {error}."]) from error
    if not isinstance(values, dict):
        raise ConfigError([f'{source}: must be one JSON object, {{"CLUSTER_NAME": ...}}.'])
    try:
        return ClusterConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError([_finding(source, entry) for entry in error.errors()]) from None


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads: a key that stands there twice is a ValueError and not the last one's."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated} stands there twice; remove one")
    return values


def _finding(source: str, entry: Any) -> str:
    key = str(entry["loc"][0])
    if entry["type"] == "extra_forbidden":
        known = [field.alias for field in ClusterConfig.model_fields.values() if field.alias]
        near = difflib.get_close_matches(key.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it."
        return f"{source}: {key}: no such key; {hint}"
    if entry["type"] == "missing":
        return f"{source}: {key}: is missing; add it ({_description(key)})"
    reason = entry["msg"].removeprefix("Value error, ")
    return f"{source}: {key}: {json.dumps(entry['input'])}: {reason}. ({_description(key)})"


def _description(key: str) -> str:
    for field in ClusterConfig.model_fields.values():
        if field.alias == key:
            return field.description or ""
    return ""
