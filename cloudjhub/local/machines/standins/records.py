"""Plain values about stand-ins; as JSON they go between the two processes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GuestPlan:
    """What a machine boots as. ``host_key`` is 32 bytes in hex; ``volumes`` the attached ids."""

    instance_id: str
    address: str
    ssh_port: int
    account: str
    authorized_key: str
    host_key: str
    volumes_folder: str
    volumes: list[str]


@dataclass(frozen=True)
class RunningServer:
    """Whose single-user server it is. ``server`` is "" for the default one."""

    user: str
    server: str
    token_sha256: str
    port: int
    home_volume_id: str | None


@dataclass(frozen=True)
class Record:
    """A machine as it is now, with what was counted since it was made.

    ``contacts`` are connections to its SSH port, logins among them; ``commands`` are those that
    were sent over SSH; ``started`` is every server.
    """

    instance_id: str
    address: str
    is_on: bool
    contacts: int
    logins: int
    commands: int
    running: RunningServer | None
    started: list[RunningServer]
    mounted: str | None
