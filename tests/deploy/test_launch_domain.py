"""A launch with a domain waits for DNS before it asks for a certificate, and needs one to end."""

import dataclasses
import socket
from typing import Any

import pytest
from deploy.launches import Machines, run
from deploy.networks import Account

from cloudjhub.deploy.steps import manager

pytestmark = pytest.mark.slow
NAMED = {"DOMAIN": "hub.example.edu", "EMAIL": "ada@example.edu"}


class Names:
    """DNS: where the one name leads; "" while it is not known."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.address = ""
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, *rest: Any, **more: Any) -> Any:
        if host != NAMED["DOMAIN"]:
            return self._real(host, *rest, **more)
        if not self.address:
            raise socket.gaierror("unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, 443))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def test_the_name_must_lead_there_first(
    account: Account,
    machines: Machines,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(manager, "_DNS_SECONDS", 0)
    assert run(account, "named", **NAMED) == 1
    said = capsys.readouterr()
    names.address = account.api.describe_addresses()["Addresses"][-1]["PublicIp"]
    assert f"Make an A record for hub.example.edu with {names.address}" in said.err
    assert machines.set_up["manager"] == 0
    real = machines.provision_manager

    def uncertified(*arguments: Any) -> Any:
        return dataclasses.replace(real(*arguments), warning="There is no certificate yet.")

    # The name leads there, and no certificate comes: the launch can be gone on with.
    with monkeypatch.context() as patch:
        patch.setattr(manager, "provision_manager", uncertified)
        assert run(account, "named", **NAMED) == 1
    assert "There is no certificate yet." in capsys.readouterr().err
    assert run(account, "named", **NAMED) == 0
