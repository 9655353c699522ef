"""Another name, certificate or operator's address for a cluster that runs."""

import re
import subprocess
from pathlib import Path

import pytest
from deploy import test_upgrade
from deploy.certificates import certificate
from deploy.made_clusters import CHECKOUT
from deploy.test_upgrade import Folder, Operator, with_cluster

from cloudjhub.deploy import own_address, upgrade, upgrade_steps
from cloudjhub.deploy.provision.change_https import change_https
from cloudjhub.deploy.provision.https import Acme, SelfSigned
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.deploy.steps import health
from cloudjhub.errors import MachineNotAnswering
from cloudjhub.remote_values import Output

config_values = test_upgrade.config_values
manager = test_upgrade.manager
operator = test_upgrade.operator

MANAGER_CONFIG = """c = get_config()
c.JupyterHub.public_url = 'https://192.0.2.1/'
c.JupyterHub.hub_port = 8081
"""
GITHUB = "c.GitHubOAuthenticator.oauth_callback_url = 'https://192.0.2.1/hub/oauth_callback'\n"


class WebFolder(Folder):
    """Also Caddy's files; the names of the scripts that were sent are kept."""

    def run(self, command, *, stdin=b"", timeout_seconds, on_line=None) -> Output:
        for old, new in (("/etc/caddy", f"{self.folder}/caddy"), ("caddy:caddy", ":")):
            command = command.replace(old, new)
        if command.startswith("sudo -n bash -s") and b"openssl req" in stdin:
            self.scripts.append(command)
            return Output(0, 'cloudjhub-answer:{"fingerprint": "AA:BB", "self_signed": true}\n')
        return super().run(command, stdin=stdin, timeout_seconds=timeout_seconds, on_line=on_line)

    def text(self, path: str) -> str:
        return (self.folder / path).read_text()


@pytest.fixture
def web(manager: Folder) -> WebFolder:
    made = WebFolder(manager.folder, manager.python)
    folder = made.folder / "etc/jupyterhub_config.d"
    folder.mkdir()
    (folder / "10-manager.py").write_text(MANAGER_CONFIG)
    (folder / "20-login.py").write_text(GITHUB)
    return made


@pytest.fixture
def answering(monkeypatch) -> list[tuple[str, str, str]]:
    """Where the laptop looked at the end."""
    looked: list[tuple[str, str, str]] = []

    def wait(*where: str) -> str:
        looked.append(where)
        return f"answers at {where[0]}"

    monkeypatch.setattr(health, "wait", wait)
    return looked


def ssh_sources(operator: Operator) -> set[str]:
    groups = operator.place.api.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["cloudjhub-class1-manager"]}]
    )["SecurityGroups"]
    permissions = [rule for rule in groups[0]["IpPermissions"] if rule.get("FromPort") == 22]
    return {entry["CidrIp"] for rule in permissions for entry in rule["IpRanges"]}


# -- SSH


@pytest.mark.slow
def test_an_operator_who_moved_is_let_in_without_a_login(operator: Operator, monkeypatch):
    made = with_cluster(operator, [])
    before = [rule for rule in operator.place.everything()["rules"]]
    monkeypatch.setattr(upgrade_steps, "_session", None)
    code, out, _ = operator.upgrade("--ssh_from", "192.0.2.7/32")
    assert code == 0 and "Nothing was changed." in out and ssh_sources(operator) == set()
    code, out, err = operator.upgrade("--ssh_from", "192.0.2.7/32", "--yes")
    assert code == 0, err
    assert ssh_sources(operator) == {"192.0.2.7/32"}
    code, out, _ = operator.upgrade("--ssh_from", "198.51.100.0/24", typed="yes\n")
    assert code == 0 and "so far for 192.0.2.7/32" in out
    assert ssh_sources(operator) == {"198.51.100.0/24"}
    code, out, _ = operator.upgrade("--ssh_from", "198.51.100.0/24")
    assert code == 0 and "already" in out
    assert set(before) < operator.place.everything()["rules"], made.ids  # all others stay


@pytest.mark.slow
def test_the_rule_is_there_before_the_login(operator: Operator, monkeypatch):
    with_cluster(operator, [])
    seen = []

    def session(target, pinned):
        seen.append(ssh_sources(operator))
        return operator.manager

    monkeypatch.setattr(upgrade_steps, "_session", session)
    code, out, err = operator.upgrade("--ssh_from", "192.0.2.7/32", "--software", "--yes")
    assert code == 0, err
    assert seen == [{"192.0.2.7/32"}] and "is upgraded" in out


@pytest.mark.slow
def test_a_network_that_is_none_is_refused(operator: Operator):
    with_cluster(operator, [])
    code, _, err = operator.upgrade("--ssh_from", "192.0.2.7/24", "--yes")
    assert code == 2 and "is no network" in err
    assert ssh_sources(operator) == set()


@pytest.mark.slow
def test_who_is_locked_out_is_told_the_command_line(operator: Operator, monkeypatch):
    with_cluster(operator, [])

    def session(target, pinned):
        raise MachineNotAnswering("The machine does not answer.")

    monkeypatch.setattr(upgrade_steps, "_session", session)
    monkeypatch.setattr(own_address, "find", lambda *_, **__: "198.51.100.9/32")
    code, _, err = operator.upgrade("--yes")
    assert code == 1 and "class1 --ssh_from 198.51.100.9/32" in err


# -- HTTPS


@pytest.mark.slow
def test_certificate_files_are_put_into_place_and_the_hub_told(
    operator: Operator, web: WebFolder, answering, tmp_path: Path
):
    with_cluster(operator, [])
    operator.manager = web
    operator._patch.setattr(upgrade_steps, "_session", lambda target, pinned: web)
    crt, key = certificate(tmp_path, days=90)
    files = ("--certificate_file", crt, "--certificate_key_file", key)
    code, out, _ = operator.upgrade(*files)
    assert code == 0 and "Nothing was changed." in out and not web.scripts
    assert "will be at https://hub.example.edu/ with the certificate given" in out
    assert "So far: https://192.0.2.1/" in out
    assert "https://hub.example.edu/hub/oauth_callback in the OAuth app" in out
    code, out, err = operator.upgrade(*files, "--yes")
    assert code == 0, err
    assert web.text("etc/ssl/hub.crt") == Path(crt).read_text()
    assert web.text("etc/ssl/hub.key") == Path(key).read_text()
    assert "tls /etc/jupyterhub/ssl/hub.crt" in web.text("caddy/Caddyfile")
    manager_config = web.text("etc/jupyterhub_config.d/10-manager.py")
    assert "public_url = 'https://hub.example.edu/'" in manager_config
    assert "hub_port = 8081" in manager_config
    login = web.text("etc/jupyterhub_config.d/20-login.py")
    assert "= 'https://hub.example.edu/hub/oauth_callback'" in login
    keep, use = web.scripts
    assert keep.endswith("keep") and "use hub.example.edu https 127." in use
    ((url, _, fingerprint),) = answering
    assert url == "https://hub.example.edu/"
    assert fingerprint == _sha256(crt)
    assert "incoming" not in "".join(p.name for p in (web.folder / "opt").iterdir())


def _sha256(path: str) -> str:
    command = ["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shown.strip().partition("=")[2].replace(":", "").lower()


@pytest.mark.slow
def test_back_to_a_certificate_of_its_own_and_to_none_only_when_asked(
    operator: Operator, web: WebFolder, answering
):
    with_cluster(operator, [])
    operator._patch.setattr(upgrade_steps, "_session", lambda target, pinned: web)
    # What stands in secure.py or the environment was for the launch.
    operator._patch.setenv("CLOUDJHUB_PLAIN_HTTP", "true")
    operator._patch.setenv("CLOUDJHUB_DOMAIN", "hub.example.edu")
    _, out, _ = operator.upgrade()
    assert "will be at" not in out
    code, out, err = operator.upgrade("--self_signed", "--yes")
    assert code == 0, err
    assert any(script.endswith("replace") for script in web.scripts)
    assert "AA:BB" in out and answering[-1][2] == "AA:BB"
    code, out, err = operator.upgrade("--plain_http", "--yes")
    assert code == 0, err
    assert "passwords can be read" in out and "auto_https off" in web.text("caddy/Caddyfile")
    assert "public_url = 'http://" in web.text("etc/jupyterhub_config.d/10-manager.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--domain", "hub.example.invalid"], "Say --email"),
        (["--email", "it@example.edu"], "Say --domain, too"),
        (["--domain", "hub.example.invalid", "--email", "a@b.edu"], "is not known to DNS"),
        (["--self_signed", "--plain_http"], "allows no other way"),
        (["--certificate_file", "/nonexistent"], "CERTIFICATE_KEY_FILE"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(
    operator: Operator, web: WebFolder, arguments, words
):
    with_cluster(operator, [])
    operator._patch.setattr(upgrade_steps, "_session", None)
    code, _, err = operator.upgrade(*arguments, "--yes")
    assert code == 2 and words in err, err


def test_a_name_of_its_own_becomes_caddys(web: WebFolder):
    acme = Acme("hub.example.edu", "it@example.edu")
    assert change_https(web, acme, ("192.0.2.1", "10.0.0.1")) == ""
    text = web.text("caddy/Caddyfile")
    assert "hub.example.edu {" in text and "email it@example.edu" in text
    assert web.scripts[-1].endswith("use hub.example.edu acme 10.0.0.1")
    # Again: the hub's own address is as it was, so it need not restart.
    change_https(web, acme, ("192.0.2.1", "10.0.0.1"))
    assert web.scripts[-1].endswith("use hub.example.edu acme ''")


def test_what_was_taken_back_is_said(web: WebFolder, monkeypatch):
    def run(command, *, stdin=b"", **others):
        if "use 192.0.2.1" in command:
            return Output(1, "Caddy does not start.\nThe former way is in force again.\n")
        return WebFolder.run(web, command, stdin=stdin, **others)

    monkeypatch.setattr(web, "run", run)
    with pytest.raises(ProvisionError) as failed:
        change_https(web, SelfSigned(), ("192.0.2.1", "10.0.0.1"))
    assert "reached as before" in failed.value.remedy


def test_the_command_lines_of_the_documentation_are_understood():
    texts = [path.read_text() for path in (CHECKOUT / "docs").glob("*.md")]
    found = re.findall(r"scripts/upgrade\.py (class1[^`#\n]*)", "\n".join(texts))
    assert len(found) >= 6
    for words in found:
        upgrade.parser().parse_args(words.split())
    assert any("--domain" in words for words in found)
    assert any("--ssh_from" in words for words in found)
