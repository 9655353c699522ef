"""The first contact with a machine: nothing is sent before its key was compared."""

from types import SimpleNamespace
from typing import Any

import pytest

from cloudjhub.account.machines import Machine
from cloudjhub.deploy import waiting
from cloudjhub.deploy.steps import reach
from cloudjhub.errors import HostKeyChanged, NotFound, NotPermitted
from cloudjhub.naming import HOST_KEY_TAG

KEY = "SHA256:mine"
BOOTED = "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 {} root (ED25519)\n"
BOOTED += "-----END SSH HOST KEY FINGERPRINTS-----\n"


class World:
    """A machine whose console EC2 shows in parts; remembers in which order it is spoken to."""

    fingerprint = KEY

    def __init__(self, *consoles: str | Exception):
        self.consoles = list(consoles)
        self.order: list[str] = []
        self.site: Any = SimpleNamespace(
            ec2=self,
            say=self.order.append,
            settings=SimpleNamespace(
                key_path="key", custom_worker_ami="", worker_username="", server_username="admin"
            ),
        )

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.order.append("closed")

    def run(self, command: str, **_: Any) -> None:
        assert "cloud-init status --wait" in command and "stdin" not in _
        self.order.append("booted")

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "create_tags":
            self.order.append(f"pinned {arguments['Tags'][0]['Value']}")
            return {}
        assert operation == "get_console_output"
        shown = self.consoles[0] if len(self.consoles) == 1 else self.consoles.pop(0)
        if isinstance(shown, Exception):
            raise shown
        return {"Output": shown}


def contact(world: World, monkeypatch: pytest.MonkeyPatch, **tags: str) -> list[str]:
    """Log in, and send a secret."""
    monkeypatch.setattr(reach.remote, "connect", lambda *_: world)
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.01)
    machine = Machine("i-1", "running", "t3.small", "ami-1", "", "", "", "", tags=tags)
    with reach.session(world.site, machine, "192.0.2.1"):
        world.order.append("secret")
    return world.order[1:]


def test_a_console_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    unknown = NotFound("Not yet.", action="GetConsoleOutput")
    begun = BOOTED.partition("256")[0]
    world = World("", unknown, unknown, "Welcome", begun, BOOTED.format(KEY))
    said = contact(world, monkeypatch)
    assert said[1:] == ["booted", f"pinned {KEY}", "secret", "closed"]
    assert len(world.consoles) == 1


def test_a_key_that_the_console_does_not_show_gets_no_secret(monkeypatch: pytest.MonkeyPatch):
    world = World("", BOOTED.format("SHA256:theirs"))
    with pytest.raises(HostKeyChanged, match="SHA256:mine"):
        contact(world, monkeypatch)
    assert world.order[-2:] == ["booted", "closed"]


@pytest.mark.parametrize(
    "console", ["Welcome", NotPermitted("You may not.", action="GetConsoleOutput")]
)
def test_a_console_without_keys_is_said(monkeypatch: pytest.MonkeyPatch, console: str | Exception):
    monkeypatch.setattr(reach, "_CONSOLE_SECONDS", 0.05)
    said = contact(World(console), monkeypatch)
    assert any(line.startswith("note: EC2 does not show the host keys") for line in said)
    assert said[-3:] == [f"pinned {KEY}", "secret", "closed"]


def test_a_machine_that_is_known_is_not_compared_again(monkeypatch: pytest.MonkeyPatch):
    assert contact(World(), monkeypatch, **{HOST_KEY_TAG: KEY}) == ["secret", "closed"]
