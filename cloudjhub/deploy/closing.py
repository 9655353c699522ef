"""The last words of a launch: where the hub is and who may enter, or how to go on."""

from collections.abc import Iterator, Mapping

from cloudjhub.account import access, groups, images
from cloudjhub.deploy import plan
from cloudjhub.deploy.requests import profile_name
from cloudjhub.deploy.steps.site import Site, there
from cloudjhub.errors import CloudJHubError, EC2Error


def words(site: Site) -> list[str]:
    """After a launch that is finished."""
    facts = there(site.facts, "record of how the manager was set up")
    cluster = site.cluster
    return [
        "",
        f"The cluster {cluster} is ready: {facts.url}",
        *([facts.warning] if facts.warning else []),
        *_certificate(site, facts.certificate_fingerprint),
        "",
        *_logins(facts.one_time_passwords),
        *_word(facts.signup_word),
        f"On the manager ({_login(site)}):",
        "  /etc/jupyterhub/server_config.json  the cluster's settings; read again when changed",
        "  /etc/jupyterhub/jupyterhub_config.d  your own lines for JupyterHub",
        "",
        *plan.costs(site.settings),
        f"See what runs: scripts/status.py {cluster}{_region(site)}",
        f"Stop paying: scripts/teardown.py {cluster}{_region(site)}",
    ]


def _certificate(site: Site, fingerprint: str) -> list[str]:
    if not fingerprint:
        return []
    return [
        "Browsers will warn: nobody vouches for its self-signed certificate, SHA-256",
        f"  {fingerprint}",
        "Give it a real one: a name that leads to its address, or certificate files:",
        f"  scripts/upgrade.py {site.cluster}{_region(site)} --domain NAME --email YOURS",
        f"  scripts/upgrade.py {site.cluster}{_region(site)} "
        "--certificate_file FILE --certificate_key_file FILE",
    ]


def _logins(passwords: Mapping[str, str]) -> Iterator[str]:
    if not passwords:
        return
    yield "One-time passwords; each opens once, and asks for one of your own:"
    width = max(len(name) for name in passwords)
    for name, password in sorted(passwords.items()):
        yield f"  {name:<{width}}  {password}"
    yield ""


def _word(word: str | None) -> list[str]:
    if word is None:
        return []
    if not word:
        return ["No word of the class: whoever is first to sign up in a listed name is in.", ""]
    return [f"Listed students sign up with the word of the class: {word}", ""]


def interrupted(site: Site, error: BaseException) -> list[str]:
    """After a launch that failed or was stopped: what exists, how to go on, how to undo."""
    if isinstance(error, CloudJHubError):
        why = f"error: {error.advice}"
    else:
        why = "interrupted." if isinstance(error, KeyboardInterrupt) else f"error: {error}"
    log = getattr(error, "log_tail", "")
    return [
        "",
        *([log.rstrip(), ""] if log else []),
        why,
        "",
        f"What exists of {site.cluster}:",
        *(f"  {line}" for line in _what_exists(site)),
        "",
        "Go on: run the same command again; it continues and makes nothing twice.",
        f"Undo: scripts/teardown.py {site.cluster}{_region(site)}",
    ]


def _what_exists(site: Site) -> list[str]:
    try:
        return list(_existing(site)) or ["nothing"]
    except KeyboardInterrupt:
        return [f"not asked, as this was interrupted, too; scripts/status.py {site.cluster} tells"]
    except EC2Error as error:
        return [f"AWS cannot be asked just now: {error.message}"]


def _existing(site: Site) -> Iterator[str]:
    for group in groups.of(site.ec2, site.cluster).values():
        yield f"security group {group.name} ({group.id})"
    own = site.settings.manager_iam_role
    if not own and (profile := access.profile(site.clients.iam, profile_name(site.settings))):
        yield f"IAM role and instance profile {profile.name}"
    for builder in site.builders():
        yield f"instance {builder.id} (builder, {builder.state}); the next run ends it"
    for image in images.worker_images(site.ec2, site.cluster):
        yield f"AMI {image.id} ({image.state})"
    if address := site.address():
        yield f"Elastic IP {address.ip}; it costs also while nothing uses it"
    if manager := site.manager():
        yield f"instance {manager.id} (manager, {manager.state}); it costs while it runs"


def _login(site: Site) -> str:
    settings, address = site.settings, there(site.address(), "manager's address")
    return f"ssh -i {settings.key_path} {settings.server_username}@{address.ip}"


def _region(site: Site) -> str:
    """Named where it is not the default of the other commands, too."""
    endpoint = site.settings.endpoint_url
    shown = f" --region {site.settings.region}"
    return f"{shown} --ec2_endpoint_url {endpoint}" if endpoint else shown
