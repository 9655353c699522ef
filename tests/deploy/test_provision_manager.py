"""What a manager is given, as text: no secret where it does not belong, nothing misread."""

import ast
import configparser
import json
import zipfile
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloudjhub import userlist
from cloudjhub.config import ClusterConfig
from cloudjhub.deploy.findings import errors_among
from cloudjhub.deploy.provision import https, hub_files, login, manager, shell, wheel
from cloudjhub.deploy.provision.shell import ProvisionError
from cloudjhub.errors import ConfigError
from cloudjhub.remote_values import Output, Target
from cloudjhub.userlist import Listed

CHECKOUT = Path(__file__).parents[2]
SECRET = "the-GitHub-secret"
DB_URL = "postgresql://hub:p%3Ass%5Cw%40rd@db.example.edu:5433/hub"
GITHUB = login.GitHubLogin("client-id", SECRET, "example-edu")


def plan(**changes) -> hub_files.HubPlan:
    values = {
        "server_config": {"CLUSTER_NAME": "class1"},
        "private_address": "10.0.0.5",
        "public_address": "203.0.113.7",
        "https": https.SelfSigned(),
        "login": GITHUB,
        "database": hub_files.database_of(DB_URL),
        "userlist": "ann admin\nbob\n",
        "jupyterhub_config": "c = get_config()\n",
    }
    return hub_files.HubPlan(**values | changes)


def files(**changes) -> dict[str, hub_files.MachineFile]:
    return {file.path: file for file in hub_files.manager_files(plan(**changes))}


class RecordingSession:
    """Notes every command and what went to its stdin; answers what a manager would."""

    target = Target("203.0.113.7", 22, "ubuntu", "key")

    def __init__(self):
        self.commands: list[str] = []

    def run(self, command, *, stdin=b"", timeout_seconds, on_line=None) -> Output:
        self.commands.append(command)
        if "cat " in command and "mktemp" not in command:
            return Output(0, 'ID=ubuntu\nVERSION_ID="24.04"\n')
        if stdin.startswith(b"main()"):
            answer = {"proxy": "5.3.0", "node": "v24", "fingerprint": "AB", "self_signed": True}
            return Output(0, shell.ANSWER + json.dumps(answer))
        return Output(0, "changed\n")


def certificate(*names: str, days: int = 90, begins: int = -1) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=min(begins, days - 1)))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(pem), private


def test_secrets_stand_only_in_files_that_only_the_hub_reads():
    for file in files().values():
        secret = SECRET in file.text or "p:ss" in file.text or "p\\:ss" in file.text
        assert not secret or (file.mode, file.owner) == ("0600", "jupyterhub:jupyterhub")
    assert files()["/etc/jupyterhub/server_config.json"].mode == "0600"


def test_no_secret_stands_in_a_command_line(monkeypatch):
    monkeypatch.setattr(manager, "build_wheel", lambda checkout: wheel.Wheel("cloudjhub.whl", b""))
    session = RecordingSession()
    key, private = certificate("hub.example.edu")
    whole = manager.ManagerPlan(
        server_config={},
        private_address="10.0.0.5",
        public_address="203.0.113.7",
        userlist=(Listed("ann", True),),
        https=https.CertificateFiles(key, private),
        login=GITHUB,
        db_url=DB_URL,
        extra_config=(("90-own.py", b"c.Own.secret = 'an own secret'"),),
    )
    assert SECRET not in repr(whole) and "p%3Ass" not in repr(whole)
    manager.provision_manager(session, whole)
    said = "\n".join(session.commands)
    assert "/etc/jupyterhub/pgpass" in said
    for secret in (SECRET, "p%3Ass", "p:ss", "own secret", "PRIVATE KEY", "CERTIFICATE"):
        assert secret not in said


def test_python_files_of_the_hub_are_python():
    for path, file in files(login=login.NativeLogin()).items():
        if path.endswith(".py"):
            ast.parse(file.text)


def test_the_cluster_configuration_is_what_the_hub_takes(tmp_path):
    values = {
        "CLUSTER_NAME": "class1",
        "REGION": "us-east-1",
        "WORKER_AMI": "ami-12345678",
        "WORKER_INSTANCE_TYPE": "t3.medium",
        "SUBNET_ID": "subnet-12345678",
        "WORKER_SECURITY_GROUPS": ["sg-12345678"],
        "KEY_NAME": "key",
    }
    text = files(server_config=values)["/etc/jupyterhub/server_config.json"].text
    there = json.loads(text)
    assert there.pop("WORKER_KEY_FILE") == hub_files.WORKER_KEY_FILE
    (tmp_path / "key").touch()
    ClusterConfig.model_validate({**there, "WORKER_KEY_FILE": str(tmp_path / "key")})


@pytest.mark.parametrize("name", ["jupyterhub.service", "jupyterhub-proxy.service"])
def test_services_are_hardened_and_know_the_hubs_address(name):
    text = files()[f"/etc/systemd/system/{name}"].text
    assert "$" not in text
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(text)
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert "10.0.0.5" in text


def test_the_proxy_is_heard_on_this_machine_only():
    text = files()["/etc/systemd/system/jupyterhub-proxy.service"].text
    assert "--ip 127.0.0.1" in text and "--api-ip 127.0.0.1" in text


def test_a_database_password_goes_to_the_password_file():
    database = hub_files.database_of(DB_URL)
    assert database.url == "postgresql+psycopg://hub@db.example.edu:5433/hub"
    assert database.pgpass == "db.example.edu:5433:hub:hub:p\\:ss\\\\w@rd\n"
    assert hub_files.database_of("").url.startswith("sqlite:////var/lib/jupyterhub/")
    assert hub_files.database_of("postgresql://hub@db/hub").pgpass == ""


@pytest.mark.parametrize(
    "url", ["mysql://hub@db/hub", "postgresql:///hub", "postgresql://db/hub", "postgresql://a@b"]
)
def test_other_databases_are_refused(url):
    with pytest.raises(ConfigError):
        hub_files.database_of(url)


@pytest.mark.parametrize("query", ["password=s3cret", "sslmode=require&sslpassword=s3cret"])
def test_a_database_password_in_the_query_is_refused(query):
    """It would stand in the hub's configuration and log."""
    with pytest.raises(ConfigError) as caught:
        hub_files.database_of(f"postgresql://hub@db/hub?{query}")
    assert "before the @" in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_database_may_have_options():
    url = hub_files.database_of("postgresql://hub:word@db/hub?sslmode=require").url
    assert url == "postgresql+psycopg://hub@db:5432/hub?sslmode=require"


@pytest.mark.parametrize(
    ("chosen", "url", "parts"),
    [
        (https.SelfSigned(), "https://203.0.113.7/", ["default_sni 203.0.113.7", "redir https://"]),
        (https.PlainHttp(), "http://203.0.113.7/", ["auto_https off", "http:// {"]),
        (
            https.Acme("hub.example.edu", "it@example.edu"),
            "https://hub.example.edu/",
            ["email it@example.edu", "hub.example.edu {", "Strict-Transport-Security"],
        ),
    ],
)
def test_the_web_server_does_as_chosen(chosen, url, parts):
    text = https.caddyfile(chosen, "203.0.113.7")
    assert https.public_url(chosen, "203.0.113.7") == url
    assert all(part in text for part in [*parts, "reverse_proxy 127.0.0.1:8000"])
    assert text.count("{") == text.count("}")
    trusted = isinstance(chosen, https.Acme)
    assert ("Strict-Transport-Security" in text) == trusted


def test_files_of_a_certificate_name_the_hub():
    crt, key = certificate("*.example.edu", "hub.example.edu")
    given = https.CertificateFiles(crt, key)
    assert https.public_url(given, "203.0.113.7") == "https://hub.example.edu/"
    assert "Strict-Transport-Security" in https.caddyfile(given, "203.0.113.7")
    assert https.check_https(given) == []
    assert "BEGIN" not in repr(given)


def test_what_is_wrong_with_a_certificate_is_said():
    crt, key = certificate("hub.example.edu")
    _, other = certificate("hub.example.edu")
    ended = https.CertificateFiles(*certificate("hub.example.edu", days=-1))
    cases = {
        "no certificate": https.CertificateFiles(b"nothing", key),
        "no private key": https.CertificateFiles(crt, b"nothing"),
        "not the certificate's": https.CertificateFiles(crt, other),
        "ended on": ended,
        "not for www.example.edu": https.CertificateFiles(crt, key, "www.example.edu"),
    }
    for words, given in cases.items():
        (finding,) = errors_among(https.check_https(given))
        assert words in finding.what
    (note,) = https.check_https(https.CertificateFiles(*certificate("a.b", days=3)))
    assert "ends on" in note.what and not errors_among([note])


def test_a_domain_must_lead_to_the_manager():
    assert https.check_domain("localhost", "203.0.113.7")[0].level == "error"
    assert "not known" in https.check_domain("no-such-name.invalid", "203.0.113.7")[0].what
    assert not https.check_domain("127.0.0.1", "127.0.0.1")


def test_a_userlist_is_read_line_by_line():
    text = "\ufeff# class\nAnn admin\nbob\n\nbob admin # again\ntwo words\na,b\ncarol  \n"
    people, findings = userlist.parse(text.lstrip("\ufeff"), "userlist")
    assert people == (Listed("ann", True), Listed("bob", True), Listed("carol"))
    assert [finding.split(": ")[1] for finding in findings] == ["line 6", "line 7"]
    assert userlist.parse(userlist.render(people), "userlist") == (people, ())


def test_the_hub_takes_the_good_lines_of_a_userlist(tmp_path):
    (tmp_path / "userlist").write_text("ann admin\nno good line\nbob\n")
    assert userlist.names(tmp_path / "userlist") == ({"ann", "bob"}, {"ann"})
    assert userlist.names(tmp_path / "none") == (set(), set())


def test_a_hub_that_nobody_could_let_others_into_is_not_made():
    with pytest.raises(ProvisionError, match="admin"):
        manager._refuse(_native_plan(userlist=(Listed("bob"),)))


@pytest.mark.parametrize("name", ["10-manager.py", "../x.py", "own.txt", "a b.py"])
def test_files_of_the_operators_own_cannot_replace_ours(name):
    with pytest.raises(ProvisionError, match="name"):
        manager._refuse(_native_plan(extra_config=((name, b""),)))


class _Manager:
    """A shell at a manager with a word, or without."""

    def __init__(self, word: str | None = None):
        self._word = word

    def get(self, path: str) -> str | None:
        assert path == login.SIGNUP_WORD_PATH
        return self._word


def test_a_class_gets_a_word_unless_none_is_asked_for():
    word = manager._signup_word
    made = word(_Manager(), login.NativeLogin())
    assert len(made) == 9 and made != word(_Manager(), login.NativeLogin())
    assert word(_Manager("heron\n"), login.NativeLogin()) == "heron"
    assert word(_Manager("heron\n"), login.NativeLogin("egret")) == "egret"
    assert word(_Manager("\n"), login.NativeLogin())
    assert word(_Manager("heron\n"), login.NativeLogin(login.NO_WORD)) == ""
    assert word(_Manager(), GITHUB) is None
    written = files(login=login.NativeLogin(), signup_word="heron")
    holding = [path for path, file in written.items() if "heron" in file.text]
    assert holding == [login.SIGNUP_WORD_PATH]
    assert written[holding[0]].mode == "0600"


def _native_plan(**changes) -> manager.ManagerPlan:
    values = {
        "server_config": {},
        "private_address": "10.0.0.5",
        "public_address": "203.0.113.7",
        "userlist": (Listed("ann", True),),
        "https": https.SelfSigned(),
    }
    return manager.ManagerPlan(**values | changes)


def test_a_service_is_restarted_for_what_concerns_it_only():
    versions = {"proxy": "5.3.0", "node": "v24"}

    def states(wheel_bytes=b"", **changes):
        return manager._states(
            hub_files.manager_files(plan(**changes)), versions, wheel_bytes, "print"
        )

    before = states()
    assert states(server_config={"JUPYTER_NOTEBOOK_TIMEOUT": 60}) == before
    assert changed(before, states(userlist="ann admin\n")) == {"hub"}
    assert changed(before, states(wheel_bytes=b"new")) == {"hub"}
    assert changed(before, states(private_address="10.0.0.6")) == {"hub", "proxy"}
    assert changed(before, states(https=https.PlainHttp())) == {"hub", "caddy"}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.slow
def test_a_wheel_of_this_checkout_holds_all_that_runs_elsewhere():
    built = wheel.build_wheel(CHECKOUT)
    names = set(zipfile.ZipFile(BytesIO(built.content)).namelist())
    here = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "cloudjhub").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here - names == set()
    assert not (CHECKOUT / "build").exists()
