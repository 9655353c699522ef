"""The metadata service's HTTP side. Whoever asks is known by address alone, as on EC2."""

import logging
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from cloudjhub.local.vpc.metadata import tree
from cloudjhub.local.vpc.metadata.tokens import Tokens, lifetime
from cloudjhub.local.vpc.metadata.tree import Facts

log = logging.getLogger(__name__)

TOKEN_PATH = "/latest/api/token"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
LIFETIME_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
#: longest that a caller may take for a request
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Access:
    """An instance's MetadataOptions, and a way to its facts, which are read when needed."""

    instance_id: str
    enabled: bool
    token_required: bool
    hop_limit: int
    facts: Callable[[], Facts]


class MetadataService:
    """Serves in threads on a socket that is given to it. ``access_of`` an address may be None."""

    def __init__(self, listening: socket.socket, access_of: Callable[[str], Access | None]):
        handler = type(
            "Handler", (_Handler,), {"access_of": staticmethod(access_of), "tokens": Tokens()}
        )
        self._server = _Server(listening, handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="local-ec2-metadata",
            daemon=True,
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Callers that hold their connection open are not waited for.
    block_on_close = False

    def __init__(self, listening: socket.socket, handler: type[BaseHTTPRequestHandler]):
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            log.debug("metadata: %s left early", client_address)
        else:
            log.exception("metadata: could not answer %s", client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    timeout = _PATIENCE_SECONDS
    access_of: Callable[[str], Access | None]
    tokens: Tokens

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_PUT(self) -> None:
        access = self._caller()
        # A body would be taken for the next request.
        self.close_connection |= self.headers.get("Content-Length", "0") != "0"
        if access is None:
            return
        if self.path != TOKEN_PATH:
            return self._answer(405 if self.path.startswith("/latest") else 404)
        if "X-Forwarded-For" in self.headers:
            # Somebody is asked through a proxy, on another's behalf.
            return self._answer(403)
        seconds = lifetime(self.headers.get(LIFETIME_HEADER))
        if seconds is None:
            return self._answer(400)
        self._limit_hops(access.hop_limit)
        token = self.tokens.issue(access.instance_id, seconds)
        self._answer(200, token, {LIFETIME_HEADER: str(seconds)})

    def do_GET(self) -> None:
        access = self._caller()
        if access is None:
            return
        headers = {}
        token = self.headers.get(TOKEN_HEADER)
        if token is None:
            if access.token_required:
                return self._answer(401)
        else:
            left = self.tokens.seconds_left(token, access.instance_id)
            if not left:
                return self._answer(401)
            headers[LIFETIME_HEADER] = str(int(left))
        found = self._find(access)
        if found is None:
            return self._answer(404)
        self._answer(200, found, headers)

    do_HEAD = do_GET

    def _caller(self) -> Access | None:
        """Who asks; has answered already where nobody may."""
        access = self.access_of(self.client_address[0])
        if access is None or not access.enabled:
            self._answer(404 if access is None else 403)
            return None
        return access

    def _find(self, access: Access) -> str | bytes | None:
        path = self.path.partition("?")[0]
        parts = [unquote(part) for part in path.split("/") if part]
        if not parts:
            return "\n".join(tree.VERSIONS)
        if parts[0] not in tree.VERSIONS:
            return None
        return tree.find(tree.tree(access.facts()), parts[1:])

    def _limit_hops(self, hops: int) -> None:
        """Lets the answer go no further than the instance says.

        For the rest of the connection: the kernel may have to send the answer again, and would
        use what is set then.
        """
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

    def _answer(
        self, status: int, body: str | bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        content = body.encode() if isinstance(body, str) else body
        kind = "application/octet-stream" if isinstance(body, bytes) and body else "text/plain"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
