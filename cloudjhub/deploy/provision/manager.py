"""The manager: this checkout's hub, its proxy and its web server, set up over SSH."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudjhub import userlist
from cloudjhub.deploy.provision.https import (
    CERTIFICATE_PATH,
    KEY_PATH,
    CertificateFiles,
    Https,
    SelfSigned,
    alternative_names,
    public_name,
    public_url,
    way_of,
)
from cloudjhub.deploy.provision.hub_files import (
    CADDY,
    CONFIG_FOLDER,
    HUB,
    PROXY,
    HubPlan,
    MachineFile,
    database_of,
    manager_files,
)
from cloudjhub.deploy.provision.login import (
    NO_WORD,
    SIGNUP_WORD_PATH,
    Login,
    NativeLogin,
    new_word,
)
from cloudjhub.deploy.provision.shell import (
    ProvisionError,
    Say,
    Shell,
    digest,
    distribution_of,
    nobody,
)
from cloudjhub.deploy.provision.versions import JUPYTERHUB_VERSION, NODE, PROXY_PACKAGE
from cloudjhub.deploy.provision.wheel import CHECKOUT, Wheel, build_wheel
from cloudjhub.remote import Session

WHEEL_FOLDER = "/opt/cloudjhub/wheels"
# Files of the launch's own, which an operator's may not be called.
OWN_CONFIG_NAME = re.compile(r"(?!(?:10-manager|20-login|30-idle)\.py\Z)[A-Za-z0-9._-]+\.py\Z")


@dataclass(frozen=True, kw_only=True)
class ManagerPlan:
    """What the manager is to be.

    ``server_config`` becomes /etc/jupyterhub/server_config.json; WORKER_KEY_FILE is filled in.
    ``public_address`` is what leads to the manager from outside; ``extra_config`` are the
    operator's own files for jupyterhub_config.d, as (name, content).
    """

    server_config: Mapping[str, Any]
    private_address: str
    public_address: str
    userlist: tuple[userlist.Listed, ...]
    https: Https
    login: Login = field(default_factory=NativeLogin)
    db_url: str = field(default="", repr=False)
    extra_config: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    checkout: Path = CHECKOUT

    @property
    def admins(self) -> tuple[str, ...]:
        """Who may do everything in the hub."""
        return tuple(person.name for person in self.userlist if person.admin)


@dataclass(frozen=True, kw_only=True)
class ManagerFacts:
    """What came of it.

    ``one_time_passwords`` are of admins who have not chosen a password yet; ``signup_word`` is
    None where nobody signs up, and "" where no word is asked for;
    ``certificate_fingerprint`` is "" where browsers need not be told; ``warning`` is "" where
    all is well.
    """

    url: str
    versions: Mapping[str, str]
    one_time_passwords: Mapping[str, str] = field(repr=False)
    signup_word: str | None = field(default=None, repr=False)
    certificate_fingerprint: str = ""
    warning: str = ""


def make_worker_key(session: Session) -> str:
    """The public half of the key to users' machines, made on the manager if it has none."""
    return Shell(session, nobody).script("make_worker_key")["public"]


def provision_manager(session: Session, plan: ManagerPlan, say: Say = nobody) -> ManagerFacts:
    """Set up everything, or bring it up to date; what did not change goes on running."""
    _refuse(plan)
    shell = Shell(session, say)
    say("building cloudjhub from this checkout")
    wheel = build_wheel(plan.checkout)
    say("waiting for the machine's first boot to finish")
    shell.script("wait_for_boot")
    shell.script("make_worker_key")
    versions = _install(shell, plan, wheel)
    say("writing the configuration")
    word = _signup_word(shell, plan.login)
    files = _files(plan, word or "")
    for file in files:
        shell.put(file.path, file.text, mode=file.mode, owner=file.owner)
    addresses = (plan.public_address, plan.private_address)
    certificate, fingerprint = put_certificate(shell, plan.https, addresses)
    if plan.db_url:
        say("asking the database")
        shell.script("check_database", database_of(plan.db_url).url)
    say("starting the proxy, the hub and the web server")
    warning = _start(shell, plan, _states(files, versions, wheel.content, certificate))
    return ManagerFacts(
        url=public_url(plan.https, plan.public_address),
        versions=versions,
        # Last: the hub, as it starts, forgets who has chosen if their accounts are gone.
        one_time_passwords=_one_time_passwords(shell, plan),
        signup_word=word,
        certificate_fingerprint=fingerprint,
        warning=warning,
    )


def _refuse(plan: ManagerPlan) -> None:
    for name, _ in plan.extra_config:
        if not OWN_CONFIG_NAME.match(name):
            raise ProvisionError(
                f"{name} cannot be the name of a file in jupyterhub_config.d.",
                "Name it like 90-own.py.",
            )
    if isinstance(plan.login, NativeLogin) and not plan.admins:
        raise ProvisionError(
            "Nobody of the userlist is an admin, so nobody could let others in.",
            'Add a line "NAME admin" to it.',
        )


def _install(shell: Shell, plan: ManagerPlan, wheel: Wheel) -> dict[str, str]:
    """Packages and environments; returns the versions of what is there then."""
    distribution = distribution_of(shell)
    shell.say(f"installing JupyterHub {JUPYTERHUB_VERSION} on {distribution.title}")
    path = f"{WHEEL_FOLDER}/{wheel.name}"
    shell.put(path, wheel.content)
    return shell.script(
        "install_manager",
        " ".join(distribution.manager_packages),
        distribution.caddy_archive,
        path,
        "manager,postgresql" if plan.db_url else "manager",
        JUPYTERHUB_VERSION,
        NODE,
        PROXY_PACKAGE,
    )


def _signup_word(shell: Shell, login: Login) -> str | None:
    """What was asked for; else the word that the class may know already; else a new one."""
    if not isinstance(login, NativeLogin):
        return None
    if login.signup_word:
        return "" if login.signup_word == NO_WORD else login.signup_word
    return (shell.get(SIGNUP_WORD_PATH) or "").strip() or new_word()


def _files(plan: ManagerPlan, signup_word: str) -> list[MachineFile]:
    """Every file of the configuration."""
    hub_plan = HubPlan(
        server_config=plan.server_config,
        private_address=plan.private_address,
        public_address=plan.public_address,
        https=plan.https,
        login=plan.login,
        database=database_of(plan.db_url),
        userlist=userlist.render(plan.userlist),
        jupyterhub_config=(plan.checkout / "jupyterhub_config.py").read_text("utf-8"),
        signup_word=signup_word,
    )
    own = [
        MachineFile(f"{CONFIG_FOLDER}/{name}", content.decode(), HUB, secret=True)
        for name, content in plan.extra_config
    ]
    return [*manager_files(hub_plan), *own]


def put_certificate(
    shell: Shell, https: Https, addresses: tuple[str, ...], *, replace: bool = False
) -> tuple[str, str]:
    """(what tells this certificate from another, fingerprint of one that nobody vouches for).

    One that was given earlier stays where none is given now, unless it is to be replaced.
    """
    if isinstance(https, CertificateFiles):
        shell.put(KEY_PATH, https.key, mode="0600", owner="caddy:caddy")
        shell.put(CERTIFICATE_PATH, https.certificate, mode="0600", owner="caddy:caddy")
        return digest(https.certificate), ""
    if not isinstance(https, SelfSigned):
        return "", ""
    words = ["replace"] if replace else []
    answer = shell.script("make_certificate", alternative_names(addresses), *words)
    return answer["fingerprint"], answer["fingerprint"] if answer["self_signed"] else ""


def _one_time_passwords(shell: Shell, plan: ManagerPlan) -> dict[str, str]:
    if not isinstance(plan.login, NativeLogin):
        return {}
    return shell.script("make_logins", *plan.admins)


def _states(
    files: list[MachineFile], versions: Mapping[str, str], wheel: bytes, certificate: str
) -> dict[str, str]:
    """What each service is to run with; one that runs with something else is restarted."""
    texts = {
        service: "".join(f"{file.path}\n{file.text}" for file in files if file.concerns == service)
        for service in (HUB, PROXY, CADDY)
    }
    return {
        HUB: digest(texts[HUB], wheel),
        PROXY: digest(texts[PROXY], versions["proxy"], versions["node"]),
        CADDY: digest(texts[CADDY], certificate),
    }


def _start(shell: Shell, plan: ManagerPlan, states: Mapping[str, str]) -> str:
    """Bring everything up; returns a sentence where something will take longer."""
    way = way_of(plan.https)
    name = public_name(plan.https, plan.public_address)
    words = (states[HUB], states[PROXY], states[CADDY], plan.private_address, name, way)
    answer = shell.script("start_manager", *words)
    if answer.get("certified", True):
        return ""
    return (
        f"No certificate for {name} could be had yet, so browsers cannot reach the hub. The "
        "manager goes on asking for one; sudo journalctl -u caddy there says what keeps it."
    )
