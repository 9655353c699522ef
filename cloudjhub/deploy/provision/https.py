"""How browsers reach the hub: whose certificate, under which name; Caddy's configuration for it.

Caddy renews certificates of its own accord, passes websockets through, and hands on responses whose
length is not known, such as the progress of a start, as they come
(https://caddyserver.com/docs/caddyfile/directives/reverse_proxy#streaming).
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from cloudjhub.deploy.findings import Finding, note

CERTIFICATE_PATH = "/etc/jupyterhub/ssl/hub.crt"
KEY_PATH = "/etc/jupyterhub/ssl/hub.key"
SOON = timedelta(days=14)


@dataclass(frozen=True)
class CertificateFiles:
    """Somebody's certificate with its chain, and its private key; PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    domain: str = ""


@dataclass(frozen=True)
class Acme:
    """A certificate from Let's Encrypt, or from the ACME server named, for a domain."""

    domain: str
    email: str
    directory_url: str = ""
    root_certificate: str = ""


@dataclass(frozen=True)
class SelfSigned:
    """Traffic is encrypted, but browsers warn: nobody vouches for the address."""


@dataclass(frozen=True)
class PlainHttp:
    """Passwords and notebooks travel readable for all on the way. Only when asked for."""


Https = CertificateFiles | Acme | SelfSigned | PlainHttp


def public_name(https: Https, public_address: str) -> str:
    """What people type after https://."""
    if isinstance(https, Acme):
        return https.domain
    if isinstance(https, CertificateFiles):
        names = [name for name in certificate_names(https.certificate) if "*" not in name]
        return https.domain or next(iter(names), public_address)
    return public_address


def public_url(https: Https, public_address: str) -> str:
    """The hub's address for people."""
    name = public_name(https, public_address)
    host = f"[{name}]" if ":" in name else name
    return f"{'http' if isinstance(https, PlainHttp) else 'https'}://{host}/"


def way_of(https: Https) -> str:
    """How the scripts on the manager ask whether it answers."""
    return {Acme: "acme", PlainHttp: "http"}.get(type(https), "https")


def caddyfile(https: Https, public_address: str) -> str:
    """The whole text of /etc/caddy/Caddyfile."""
    head = [
        "# Written by the launch of cloudJHub.",
        "{",
        # Nobody on this machine but Caddy itself and root may change what is served.
        "\tadmin unix//run/caddy/admin.sock",
        "\tskip_install_trust",
        "\tservers {",
        "\t\tprotocols h1 h2",  # HTTP/3 is UDP, which the security group does not admit
        "\t}",
        *(f"\t{line}" for line in _global_lines(https, public_address)),
        "}",
    ]
    return "\n".join([*head, "", *_sites(https), ""])


def _global_lines(https: Https, public_address: str) -> list[str]:
    if isinstance(https, Acme):
        lines = [f"email {https.email}"]
        if https.directory_url:
            lines.append(f"acme_ca {https.directory_url}")
        if https.root_certificate:
            lines.append(f"acme_ca_root {https.root_certificate}")
        return lines
    if isinstance(https, PlainHttp):
        return ["auto_https off"]
    # Browsers name no server when they are given an address instead of a name.
    return ["auto_https disable_redirects", f"default_sni {_default_name(https, public_address)}"]


def _default_name(https: Https, public_address: str) -> str:
    if isinstance(https, CertificateFiles):
        return next(iter(certificate_names(https.certificate)), public_address)
    return public_address


def _sites(https: Https) -> list[str]:
    hub = ["\treverse_proxy 127.0.0.1:8000", "}"]
    hsts = '\theader Strict-Transport-Security "max-age=31536000"'
    if isinstance(https, PlainHttp):
        return ["http:// {", *hub]
    if isinstance(https, Acme):
        return [f"{https.domain} {{", hsts, *hub]
    real = [hsts] if isinstance(https, CertificateFiles) else []
    redirect = ["http:// {", "\tredir https://{host}{uri} 308", "}", ""]
    tls = f"\ttls {CERTIFICATE_PATH} {KEY_PATH}"
    return [*redirect, "https:// {", tls, *real, *hub]


def alternative_names(addresses: tuple[str, ...]) -> str:
    """Addresses and names as a self-signed certificate has them: IP:1.2.3.4,DNS:hub."""
    return ",".join(f"{_kind(address)}:{address}" for address in dict.fromkeys(addresses))


def _kind(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "DNS"
    return "IP"


def certificate_names(pem: bytes) -> list[str]:
    """The names a certificate is for; none if it is not one."""
    try:
        first = x509.load_pem_x509_certificates(pem)[0]
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, IndexError, x509.ExtensionNotFound):
        return []
    addresses = [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def check_https(https: Https) -> list[Finding]:
    """What can be said before anything is made."""
    if isinstance(https, CertificateFiles):
        return _certificate_findings(https)
    if isinstance(https, Acme):
        try:
            socket.getaddrinfo(https.domain, 443)
        except OSError:
            return [
                note(
                    f"{https.domain} is not known to DNS yet.",
                    "DOMAIN",
                    "The launch tells the address it must lead to.",
                )
            ]
        return []
    if isinstance(https, SelfSigned):
        what = "No certificate is given, so one is made that browsers warn of."
        return [note(what, "HTTPS", "Give a domain with an e-mail address, or certificate files.")]
    what = "Plain HTTP was asked for: passwords can be read on the way."
    return [note(what, "HTTPS", "Use it only where nobody else is on the way.")]


def _certificate_findings(files: CertificateFiles) -> list[Finding]:
    try:
        certificate = x509.load_pem_x509_certificates(files.certificate)[0]
    except (ValueError, IndexError):
        return [Finding("It holds no certificate in PEM.", "CERTIFICATE_FILE", "Name another.")]
    try:
        key = load_pem_private_key(files.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = "It holds no private key in PEM without a passphrase."
        return [Finding(what, "CERTIFICATE_KEY_FILE", "Name another.")]
    raw = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*raw) != certificate.public_key().public_bytes(*raw):
        what = "The private key is not the certificate's."
        return [Finding(what, "CERTIFICATE_KEY_FILE", "Name the two files that belong together.")]
    return _validity_findings(certificate, files)


def _validity_findings(certificate: x509.Certificate, files: CertificateFiles) -> list[Finding]:
    now = datetime.now(timezone.utc)
    ends = certificate.not_valid_after_utc
    where, renew = "CERTIFICATE_FILE", "Have it renewed."
    if ends <= now:
        return [Finding(f"The certificate ended on {ends:%Y-%m-%d}.", where, renew)]
    found = []
    if certificate.not_valid_before_utc > now:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        found.append(Finding(f"The certificate is valid from {begins} on.", where, "Wait."))
    if ends - now < SOON:
        found.append(note(f"The certificate ends on {ends:%Y-%m-%d}.", where, renew))
    names = certificate_names(files.certificate)
    if files.domain and not any(_covers(name, files.domain) for name in names):
        what = f"The certificate is for {', '.join(names) or 'no name'}, not for {files.domain}."
        found.append(Finding(what, where, "Name another, or correct DOMAIN."))
    return found


def _covers(name: str, domain: str) -> bool:
    if name.startswith("*."):
        return domain.partition(".")[2].lower() == name[2:].lower()
    return name.lower() == domain.lower()


def check_domain(domain: str, address: str) -> list[Finding]:
    """Whether the domain leads to the manager; Let's Encrypt will look the same way."""
    remedy = f"Make an A record for {domain} with {address}, wait until it is known, and go on."
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(domain, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return [Finding(f"{domain} is not known to DNS.", "DOMAIN", remedy)]
    others = sorted(found - {address})
    if address not in found:
        return [Finding(f"{domain} leads to {', '.join(others)}.", "DOMAIN", remedy)]
    if others:
        what = f"{domain} also leads to {', '.join(others)}, where Let's Encrypt may look in vain."
        return [Finding(what, "DOMAIN", f"Leave only {address}.")]
    return []
