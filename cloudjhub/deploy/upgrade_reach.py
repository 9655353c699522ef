"""Other ways to a cluster that runs: HTTPS for browsers, SSH for its operator."""

import argparse

from cloudjhub.account import groups
from cloudjhub.account.inventory import MachineFound
from cloudjhub.deploy import manager_plan, own_address
from cloudjhub.deploy.checks.address import network_findings
from cloudjhub.deploy.checks.files import https_findings
from cloudjhub.deploy.desk import Desk, agreed, say
from cloudjhub.deploy.findings import Finding, Refused, errors_among
from cloudjhub.deploy.provision.change_https import change_https
from cloudjhub.deploy.provision.https import (
    Acme,
    CertificateFiles,
    Https,
    SelfSigned,
    check_domain,
    public_url,
)
from cloudjhub.deploy.settings import Reach
from cloudjhub.deploy.steps import health, security_groups
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import MANAGER_ROLE
from cloudjhub.remote import Session

_FLAGS = ("DOMAIN", "EMAIL", "CERTIFICATE_FILE", "CERTIFICATE_KEY_FILE")


def https_asked(options: argparse.Namespace, account: Reach) -> Https | None:
    """What the flags ask for; None: it stays. Raises Refused.

    What other sources say was for the launch; only the e-mail address is taken from them.
    """
    flags = {key: getattr(options, key) or "" for key in _FLAGS}
    plain = options.PLAIN_HTTP is not None and account.plain_http
    if not (any(flags.values()) or plain or options.self_signed):
        return None
    if options.self_signed and (any(flags.values()) or plain):
        remedy = "Name a domain, certificate files or plain HTTP, or ask for none of them."
        raise Refused([Finding("allows no other way beside it.", "--self_signed", remedy)])
    chosen = account.model_copy(
        update={
            "domain": flags["DOMAIN"],
            "certificate_file": flags["CERTIFICATE_FILE"],
            "certificate_key_file": flags["CERTIFICATE_KEY_FILE"],
            "plain_http": plain,
        }
    )
    if flags["EMAIL"] and not chosen.domain:
        raise Refused([Finding("is of no use alone.", "--email", "Say --domain, too.")])
    return _checked(chosen)


def _checked(chosen: Reach) -> Https:
    if errors := errors_among(https_findings(chosen)):
        raise Refused(errors)
    return manager_plan.https_of(chosen)


def check_name(https: Https, address: str) -> None:
    """Let's Encrypt asks where the name leads, so it is asked before. Raises Refused."""
    if isinstance(https, Acme) and (findings := check_domain(https.domain, address)):
        raise Refused(findings)


def https_words(https: Https, url: str, new_url: str, *, github: bool) -> list[str]:
    """What would change for those who open the hub."""
    lines = [f"- The hub will be at {new_url} {_how(https)} So far: {url or 'not known'}."]
    if url != new_url:
        lines.append("  The hub restarts and asks everybody at the new address to log in again.")
    if github and url != new_url:
        lines.append(f"  Enter {new_url}hub/oauth_callback in the OAuth app at GitHub.")
    return lines


def _how(https: Https) -> str:
    if isinstance(https, Acme):
        return "with a certificate of Let's Encrypt."
    if isinstance(https, CertificateFiles):
        return "with the certificate given."
    if isinstance(https, SelfSigned):
        return "with a certificate that it signs itself, and browsers warn."
    return "without HTTPS: passwords can be read on the way."


def use_https(session: Session, https: Https, manager: MachineFound) -> None:
    """Take it into use, and look from here whether the hub answers so."""
    public = manager.public_ip or ""
    fingerprint = change_https(session, https, (public, manager.private_ip or ""), say)
    url = public_url(https, public)
    say(health.wait(url, public, health.expected(https, fingerprint)))
    if fingerprint:
        say(f"Its certificate's SHA-256 fingerprint: {fingerprint}")


# -- the operator's own way


def admit_operator(at: Desk, account: Reach, *, yes: bool) -> bool:
    """Port 22 is for SSH_FROM and nobody else; False: the operator does not want that after all.

    Raises Refused for what is no network.
    """
    if errors := errors_among(network_findings(account.ssh_from)):
        raise Refused(errors)
    group = groups.of(at.clients.ec2, at.cluster).get(MANAGER_ROLE)
    if group is None:
        raise CloudJHubError(
            f"Cluster {at.cluster} has no security group of its manager.",
            "Run the launch again: it makes what is missing.",
        )
    before = security_groups.ssh_sources(group)
    if before == [account.ssh_from]:
        say(f"- {account.ssh_from} may reach the manager's port 22 already.")
        return True
    say(
        f"- The manager's port 22 is for {account.ssh_from} from now on, "
        f"so far for {', '.join(before) or 'nobody'}."
    )
    if not yes and not agreed("\nType yes to do it:", "yes"):
        return False
    security_groups.admit_ssh(at.clients.ec2, group, account.ssh_from)
    say(f"Port 22 admits {account.ssh_from}.")
    return True


def way_in(at: Desk, address: str) -> str:
    """The remedy where the manager's port 22 does not answer."""
    mine = own_address.find(at.account.endpoint_url, toward=address) or "CIDR"
    return (
        "If its security group does not admit this computer's address: "
        f"{at.prog} {at.cluster} --ssh_from {mine}"
    )
