"""Whether the hub answers where its users will look for it."""

import hashlib
import http.client
import json
import socket
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from cloudjhub.deploy import manager_plan
from cloudjhub.deploy.provision.https import CertificateFiles, Https
from cloudjhub.deploy.steps.site import Site, there
from cloudjhub.deploy.waiting import wait_for
from cloudjhub.errors import CloudJHubError, TimedOut

_ANSWERS_SECONDS = 180
_ATTEMPT_SECONDS = 10
#: answered by the hub itself, through Caddy and the proxy, to anyone
_PATH = "/hub/api/"
_NO_CERTIFICATE = (
    "The manager's web server goes on asking for it. Run the same command again in some minutes: "
    "it says whether the certificate has come, and finishes the launch."
)


def check(site: Site) -> None:
    """The hub says its version over its public address, with the certificate it should have."""
    facts = there(site.facts, "record of how the manager was set up")
    address = there(site.address(), "manager's address")
    if facts.warning:
        raise CloudJHubError(f"{facts.warning} {_door(address.ip)}".strip(), _NO_CERTIFICATE)
    https = manager_plan.https_of(site.settings)
    shown = expected(https, facts.certificate_fingerprint)
    site.say(wait(facts.url, address.ip, shown))


def _door(ip: str) -> str:
    """Whether Let's Encrypt could come in: as this computer can."""
    try:
        socket.create_connection((ip, 80), _ATTEMPT_SECONDS).close()
    except OSError as error:
        return f"Port 80 of {ip} cannot be reached from here: {error}."
    return ""


def wait(url: str, ip: str, fingerprint: str) -> str:
    """Until the hub answers there; gives a sentence. Raises TimedOut."""
    attempt = _Attempt(url, ip, fingerprint)
    try:
        version = wait_for(f"An answer of {url}", attempt, seconds=_ANSWERS_SECONDS)
    except TimedOut as error:
        raise TimedOut(
            f"{error.message} {attempt.said}",
            "Look at the manager's log: journalctl -u jupyterhub -u jupyterhub-proxy -u caddy.",
        ) from error
    return f"JupyterHub {version} answers at {url}"


def expected(https: Https, own: str) -> str:
    """Fingerprint of the certificate that must be shown; "": one that this computer trusts.

    ``own``: of one that the manager signed.
    An institution's own authority need not be known here, so a given certificate is compared.
    """
    if isinstance(https, CertificateFiles):
        return x509.load_pem_x509_certificates(https.certificate)[0].fingerprint(SHA256()).hex()
    return own


class _Attempt:
    """One request."""

    def __init__(self, url: str, ip: str, fingerprint: str):
        self._url, self._ip, self._fingerprint = url, ip, fingerprint
        self.said = ""

    def __call__(self) -> str | None:
        try:
            return hub_version(self._url, self._ip, self._fingerprint)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.said = f"The last attempt: {error}."
            return None


def hub_version(url: str, ip: str, fingerprint: str) -> str:
    """What the hub behind this address says its version is.

    ``fingerprint`` (SHA-256, hex) of the certificate takes the place of authorities.
    Raises OSError, HTTPException or ValueError for anything but a hub's answer.
    """
    where = urlsplit(url)
    port = where.port or (443 if where.scheme == "https" else 80)
    sock = socket.create_connection((ip, port), _ATTEMPT_SECONDS)
    if where.scheme == "https":
        sock = _encrypted(sock, where.hostname or ip, fingerprint)
    connection = http.client.HTTPConnection(where.netloc, timeout=_ATTEMPT_SECONDS)
    connection.sock = sock
    try:
        connection.request("GET", _PATH)
        answer = connection.getresponse()
        body = answer.read(65536)
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"it answered with HTTP status {answer.status}")
    return str(json.loads(body)["version"])


def _encrypted(sock: socket.socket, name: str, fingerprint: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    if fingerprint:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wrapped = context.wrap_socket(sock, server_hostname=name)
    shown = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
    if fingerprint and shown != _plain(fingerprint):
        wrapped.close()
        raise CloudJHubError(
            f"{name} shows another certificate than the one that was made on the manager.",
            "Somebody may be listening in between: try from another network.",
        )
    return wrapped


def _plain(fingerprint: str) -> str:
    return fingerprint.rpartition("=")[2].removeprefix("sha256:").replace(":", "").strip().lower()
