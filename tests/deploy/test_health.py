"""Whether the hub answers is asked of the address itself, with the certificate it must have."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from deploy.certificates import certificate

from cloudjhub.deploy.steps import health
from cloudjhub.errors import CloudJHubError


class _Hub(BaseHTTPRequestHandler):
    """Answers as JupyterHub's API does at its root."""

    def do_GET(self) -> None:
        good = self.path == "/hub/api/"
        body = json.dumps({"version": "6.1.1"} if good else {}).encode()
        self.send_response(200 if good else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(files: tuple[str, str] | None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def fingerprint(path: str) -> str:
    made = x509.load_pem_x509_certificate(Path(path).read_bytes())
    return made.fingerprint(SHA256()).hex(":").upper()


def test_plain_http():
    with serving(None) as port:
        assert health.hub_version(f"http://hub.example.edu:{port}/", "127.0.0.1", "") == "6.1.1"


def test_a_self_signed_certificate_is_known_by_its_fingerprint(tmp_path: Path):
    files = certificate(tmp_path, days=9)
    with serving(files) as port:
        url = f"https://hub.example.edu:{port}/"
        assert health.hub_version(url, "127.0.0.1", fingerprint(files[0])) == "6.1.1"


def test_another_certificate_is_refused_at_once(tmp_path: Path):
    files = certificate(tmp_path, days=9)
    other, _ = certificate(tmp_path, days=9, name="other")
    with serving(files) as port, pytest.raises(CloudJHubError) as caught:
        health.hub_version(f"https://hub:{port}/", "127.0.0.1", fingerprint(other))
    assert "another certificate" in caught.value.message


def test_a_certificate_that_nobody_vouches_for_is_no_answer(tmp_path: Path):
    with serving(certificate(tmp_path, days=9)) as port, pytest.raises(ssl.SSLError):
        health.hub_version(f"https://hub.example.edu:{port}/", "127.0.0.1", "")


def test_something_else_than_a_hub_is_no_answer():
    with serving(None) as port, pytest.raises(OSError):
        health.hub_version(f"http://hub:{port + 1 if port < 65535 else 9}/", "127.0.0.9", "")
