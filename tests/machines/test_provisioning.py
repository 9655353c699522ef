"""An image of users' machines, and a manager, made over SSH on machines that boot.

Packages are downloaded for real, so there is one of each, and several tests look at it.
"""

import json
import shutil
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from machines.clouds import BootedCloud

from cloudjhub.deploy.provision.https import Acme, SelfSigned
from cloudjhub.deploy.provision.manager import (
    ManagerFacts,
    ManagerPlan,
    make_worker_key,
    provision_manager,
)
from cloudjhub.deploy.provision.versions import JUPYTERHUB_VERSION
from cloudjhub.deploy.provision.worker import (
    WorkerPlan,
    check_worker,
    clean_for_imaging,
    provision_worker,
)
from cloudjhub.errors import CloudJHubError
from cloudjhub.remote import Session, connect
from cloudjhub.remote_values import Target
from cloudjhub.userlist import Listed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PLAN = WorkerPlan(requirements="# of the class\ncowsay==6.1\n")
CHECKOUT = Path(__file__).parents[2]
PYTHON = "/opt/cloudjhub/bin/python"


class Told:
    """Notes what is said, and ends the session at the first line that holds the words given."""

    def __init__(self, session: Session, end_at: str = ""):
        self.session, self.end_at = session, end_at
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self.end_at and self.end_at in line:
            self.session.close()


@contextmanager
def logged_in(cloud: BootedCloud, instance_id: str) -> Iterator[Session]:
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    target = Target(address, 22, "admin", cloud.config["WORKER_KEY_FILE"])
    with connect(target, timeout_seconds=30) as session:
        yield session


# The image -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def builder(cloud: BootedCloud) -> Iterator[str]:
    """A machine that was set up, at the second attempt: the first was cut off in the middle."""
    instance_id = cloud.booted()
    with logged_in(cloud, instance_id) as session:
        lacks = [finding.what for finding in check_worker(session, PLAN)]
        assert any("jupyterhub-singleuser is neither" in what for what in lacks), lacks
        assert any("no account jupyter" in what for what in lacks), lacks
        with suppress(CloudJHubError):
            provision_worker(session, PLAN, Told(session, end_at="Collecting"))
            pytest.fail("the session should have ended")
    with logged_in(cloud, instance_id) as session:
        facts = provision_worker(session, PLAN)
        assert (facts.jupyterhub, facts.account) == (JUPYTERHUB_VERSION, "jupyter")
        assert check_worker(session, PLAN) == []
    yield instance_id
    cloud.terminate(instance_id)


@pytest.fixture(scope="module")
def worker(cloud: BootedCloud, builder: str) -> Iterator[str]:
    """A machine that booted from the image."""
    cloud.inside(builder, "echo secret > /home/admin/.bash_history; touch /var/log/of-the-builder")
    with logged_in(cloud, builder) as session:
        clean_for_imaging(session)
    cloud.stop(builder)
    image = cloud.made_image(builder, "worker-image")
    instance_id = cloud.booted(ImageId=image)
    yield instance_id
    cloud.terminate(instance_id)


def test_a_machine_of_the_image_is_complete(cloud, worker):
    with logged_in(cloud, worker) as session:
        assert check_worker(session, PLAN) == []
    assert "cloudJHub" in cloud.inside(worker, "cat /etc/motd")
    marker = json.loads(cloud.inside(worker, "cat /opt/cloudjhub/cloudjhub.json"))
    assert marker["jupyterhub"] == JUPYTERHUB_VERSION
    cloud.inside(worker, f"{PYTHON} -c 'import cowsay'")
    said = cloud.inside(worker, "stat -c '%U %a' /opt/cloudjhub/requirements.txt")
    assert said.strip() == "root 600"


def test_a_machine_of_the_image_has_an_identity_of_its_own(cloud, builder, worker):
    assert len(cloud.inside(worker, "cat /etc/machine-id").strip()) == 32
    keys = cloud.inside(worker, "cat /home/admin/.ssh/authorized_keys").splitlines()
    assert len([key for key in keys if key.strip()]) == 1
    assert "secret" not in cloud.inside(worker, "cat /home/admin/.bash_history || true")
    assert "HOST KEY KEYS" in cloud.ec2.machines.get(worker).console()


def test_notebooks_have_no_rights_beyond_their_home(cloud, worker):
    as_student = "runuser -u jupyter -- "
    assert "refused" in cloud.inside(worker, f"{as_student} sudo -n true || echo refused")
    assert "refused" in cloud.inside(worker, f"{as_student} touch {PYTHON}.x || echo refused")
    assert "L" in cloud.inside(worker, "passwd --status jupyter").split()
    assert "jupyter 750" in cloud.inside(worker, "stat -c '%U %a' /home/jupyter")


def test_what_students_install_is_found_and_breaks_no_server(cloud, worker):
    broken = "raise SystemExit('a broken package of a student')"
    script = f"""
        packages=$(runuser -l jupyter -c '{PYTHON} -m site --user-site')
        runuser -u jupyter -- mkdir -p $packages
        echo "words = 'mine'" | runuser -u jupyter -- tee $packages/of_a_student.py
        echo "{broken}" | runuser -u jupyter -- tee $packages/tornado.py
        runuser -l jupyter -c 'command -v python pip jupyter'
        runuser -l jupyter -c 'python -c "import of_a_student; print(of_a_student.words)"'
        runuser -l jupyter -c 'jupyterhub-singleuser --version'
        rm -r $packages
    """
    said = cloud.inside(worker, script).split()
    assert "/opt/cloudjhub/bin/pip" in said
    assert "mine" in said
    assert JUPYTERHUB_VERSION in said


# The manager -----------------------------------------------------------------------------------


@dataclass
class Manager:
    """A manager that was set up, and the lines that were said on the way."""

    cloud: BootedCloud
    instance_id: str
    plan: ManagerPlan
    facts: ManagerFacts
    public_key: str

    def inside(self, script: str) -> str:
        return self.cloud.inside(self.instance_id, script)

    def page(self, path: str, scheme: str = "https") -> str:
        address = f"{scheme}://{self.plan.public_address}{path}"
        with urllib.request.urlopen(address, context=_TRUSTING, timeout=30) as answer:
            return answer.read().decode()

    def running(self, unit: str) -> str:
        return self.inside(f"systemctl show --property=MainPID --value {unit}").strip()


_TRUSTING = ssl.create_default_context()
_TRUSTING.check_hostname, _TRUSTING.verify_mode = False, ssl.CERT_NONE


@pytest.fixture(scope="module")
def manager(cloud: BootedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    instance_id = cloud.booted()
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    server_config = {
        key: value for key, value in cloud.config.items() if key != "WORKER_KEY_FILE"
    } | {"CLUSTER_NAME": "class1"}
    plan = ManagerPlan(
        server_config=server_config,
        private_address=address,
        public_address=address,
        userlist=(Listed("ann", True), Listed("bob")),
        https=SelfSigned(),
        checkout=_copy_of_checkout(tmp_path_factory.mktemp("checkout")),
    )
    with logged_in(cloud, instance_id) as session:
        public_key = make_worker_key(session)
        facts = provision_manager(session, plan)
    yield Manager(cloud, instance_id, plan, facts, public_key)
    cloud.terminate(instance_id)


def _copy_of_checkout(folder: Path) -> Path:
    """Whatever is edited meanwhile, the second run is with the same sources."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "jupyterhub_config.py"):
        shutil.copy2(CHECKOUT / name, folder / name)
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "cloudjhub", folder / "cloudjhub", ignore=skipped)
    return folder


def test_the_hub_answers_over_https_only(manager):
    assert JUPYTERHUB_VERSION in manager.page("/hub/api/")
    assert "Sign in" in manager.page("/hub/login")
    with urllib.request.urlopen(
        urllib.request.Request(f"http://{manager.plan.public_address}/hub/login"),
        context=_TRUSTING,
        timeout=30,
    ) as answer:
        assert answer.url.startswith("https://")
    shown = ssl.get_server_certificate((manager.plan.public_address, 443))
    fingerprint = manager.inside(
        "openssl x509 -in /etc/jupyterhub/ssl/hub.crt -noout -fingerprint -sha256"
    )
    assert manager.facts.certificate_fingerprint in fingerprint
    assert "BEGIN CERTIFICATE" in shown


def test_only_the_hub_and_the_web_server_are_heard_outside(manager):
    listening = manager.inside("ss --listening --tcp --numeric --no-header | awk '{print $4}'")
    outside = {line for line in listening.split() if not line.startswith("127.")}
    ports = {line.rpartition(":")[2] for line in outside}
    assert ports <= {"22", "80", "443", "8081", "5355"}, outside
    assert f"{manager.plan.private_address}:8081" in outside


def test_secrets_are_in_files_that_only_their_owner_reads(manager):
    token = manager.inside("cut -d= -f2 /etc/jupyterhub/proxy.env").strip()
    password = manager.facts.one_time_passwords["ann"]
    modes = manager.inside(
        "stat -c '%a %n' /etc/jupyterhub/*.env /etc/jupyterhub/server_config.json"
    )
    assert {line.split()[0] for line in modes.splitlines()} == {"600"}
    assert manager.inside("stat -c '%a %U' /var/lib/jupyterhub/worker_key").split() == [
        "600",
        "jupyterhub",
    ]
    told = manager.inside("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager")
    told += manager.inside("cat /etc/systemd/system/jupyterhub*.service")
    for secret in (token, password, manager.facts.signup_word):
        assert len(secret) > 8 and secret not in told


def test_the_key_to_users_machines_is_made_once_and_stays(manager):
    with logged_in(manager.cloud, manager.instance_id) as session:
        assert make_worker_key(session) == manager.public_key
    assert manager.public_key.startswith("ssh-ed25519 ")


def test_credentials_are_for_root_and_the_hub_only(manager):
    # -s: as the shell, since these accounts have none; the answer's status says it was reached.
    ask = "curl --silent --output /dev/null --write-out '%{http_code}' "
    ask += "http://169.254.169.254/latest/meta-data/ --max-time"
    patience = {"root": 60, "jupyterhub": 60, "caddy": 5, "admin": 5, "nobody": 5}
    seen = {
        name: manager.inside(f"setpriv --reuid={name} --clear-groups {ask} {seconds} || true")[-3:]
        for name, seconds in patience.items()
    }
    assert seen["root"] == seen["jupyterhub"] != "000", seen
    assert seen["caddy"] == seen["admin"] == seen["nobody"] == "000", seen


def test_a_hub_that_is_killed_disturbs_nobody(manager):
    proxy, hub = manager.running("jupyterhub-proxy"), manager.running("jupyterhub")
    manager.inside("systemctl kill --signal=KILL jupyterhub")
    deadline = time.monotonic() + 120
    while manager.running("jupyterhub") in (hub, "0") or not _answers(manager):
        assert time.monotonic() < deadline, manager.inside("journalctl --no-pager -n 50")
        time.sleep(0.2)
    assert manager.running("jupyterhub-proxy") == proxy


def test_doing_it_again_restarts_nothing_that_did_not_change(manager):
    units = ("jupyterhub", "jupyterhub-proxy", "caddy")
    before = {unit: manager.running(unit) for unit in units}
    with logged_in(manager.cloud, manager.instance_id) as session:
        facts = provision_manager(session, manager.plan)
    assert {unit: manager.running(unit) for unit in units} == before
    assert facts.certificate_fingerprint == manager.facts.certificate_fingerprint
    assert set(facts.one_time_passwords) == {"ann"}
    assert facts.one_time_passwords != manager.facts.one_time_passwords
    assert facts.signup_word == manager.facts.signup_word != ""


def test_a_certificate_of_the_operators_is_taken_by_a_reload(manager):
    new = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=hub -addext "
    new += f"subjectAltName=IP:{manager.plan.public_address} -keyout /srv/new.key -out /srv/new.crt"
    manager.inside(f"{new} 2>/dev/null; cp /srv/new.crt /etc/jupyterhub/ssl/hub.crt")
    # With half of it in place nothing changes.
    assert "no" in manager.inside("systemctl reload caddy 2>/dev/null || echo no")
    assert JUPYTERHUB_VERSION in manager.page("/hub/api/")
    manager.inside("cp /srv/new.key /etc/jupyterhub/ssl/hub.key; systemctl reload caddy")
    address = (manager.plan.public_address, 443)
    assert (
        ssl.get_server_certificate(address).split()
        == manager.inside("openssl x509 -in /srv/new.crt").split()
    )


PEBBLE = """
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y pebble >/dev/null 2>&1
    mkdir -p /srv/pebble
    cd /srv/pebble
    openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=localhost \\
        -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null
    chmod 0755 . && chmod 0644 *.pem
    cat >config.json <<'CONFIG'
    {"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
      "certificate": "/srv/pebble/cert.pem", "privateKey": "/srv/pebble/key.pem",
      "httpPort": 80, "tlsPort": 443}}
CONFIG
    systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 pebble -config $PWD/config.json
"""


def test_a_certificate_comes_by_acme(manager):
    """From Let's Encrypt's own test server, which knows the domain by /etc/hosts."""
    domain = "hub.pebble.test"
    manager.inside(f"echo {manager.plan.private_address} {domain} >>/etc/hosts; {PEBBLE}")
    acme = Acme(domain, "it@pebble.test", "https://localhost:14000/dir", "/srv/pebble/cert.pem")
    with logged_in(manager.cloud, manager.instance_id) as session:
        facts = provision_manager(session, replace(manager.plan, https=acme))
    assert (facts.url, facts.warning) == (f"https://{domain}/", "")
    ask = f"""
        curl --silent --insecure https://127.0.0.1:15000/roots/0 >/srv/pebble/root.pem
        curl --silent --show-error --include --cacert /srv/pebble/root.pem https://{domain}/hub/api/
    """
    answer = manager.inside(ask)
    assert JUPYTERHUB_VERSION in answer
    assert "strict-transport-security" in answer


def _answers(manager: Manager) -> bool:
    try:
        return JUPYTERHUB_VERSION in manager.page("/hub/api/")
    except OSError:
        return False
