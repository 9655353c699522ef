"""HTTP: EC2 to our layer, other AWS services to plain moto, /_local to the controls."""

import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import (
    BackendRequest,
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Request

from cloudjhub.local import control
from cloudjhub.local.moto_layer import other_services
from cloudjhub.local.moto_layer.answer import LocalResponse
from cloudjhub.local.settings import LocalEC2Error

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

#: longest that a request waits in vain; any client has given up by then
SILENT_SECONDS = 120.0


class Application:
    """The WSGI application."""

    def __init__(self, engine: "Engine"):
        self._engine = engine
        # SSM and the like: as moto has them, for anybody, forgotten at the end of the process.
        self._others = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO", "").startswith(control.PREFIX):
            return control.respond(self._engine, Request(environ))(environ, start_response)
        service = _service(environ)
        if service in other_services.SERVICES:
            return other_services.answer(self._engine, service, environ)(environ, start_response)
        if service == "ec2":
            response = LocalResponse(self._engine).answer(BackendRequest(environ))
            return response(environ, start_response)
        return self._others(environ, start_response)


def _service(environ: dict[str, Any]) -> str:
    """From the credential scope: ``Credential=KEY/DATE/REGION/SERVICE/aws4_request``."""
    _, _, scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")
    parts = scope.partition(",")[0].split("/")
    return parts[3] if len(parts) == 5 else ""


class _Handler(MotoRequestHandler):
    """Writes no log, and does not answer at all where that was ordered."""

    engine: "Engine"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass

    def run_wsgi(self) -> None:
        silence = self.engine.faults.silence
        if silence is None or self.path.startswith(control.PREFIX):
            super().run_wsgi()
            return
        self.engine.calls.add("unknown", "unreachable")
        if silence == "silent":
            deadline = time.monotonic() + SILENT_SECONDS
            while self.engine.faults.silence == "silent" and time.monotonic() < deadline:
                time.sleep(0.05)
        if silence == "reset":
            # No lingering: the kernel then answers with RST.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """An answer that is lost takes its connection along."""
        self.close_connection = True


class Server:
    """Serves at one address in a thread, with a thread for every connection."""

    def __init__(self, engine: "Engine", port: int, address: str = "127.0.0.1"):
        handler = type("Handler", (_Handler,), {"engine": engine})
        listening = _listen(address, port)
        self._server = make_server(
            address,
            0,
            Application(engine),
            threaded=True,
            request_handler=handler,
            fd=listening.fileno(),
        )
        listening.close()
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="local-ec2-http",
            daemon=True,
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Takes no more connections. Calls that are being answered are not waited for."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _listen(address: str, port: int) -> socket.socket:
    """Binds here and not in werkzeug, which prints and exits where the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise LocalEC2Error(
            f"Cannot listen on {address}:{port}: {error.strerror}.", "Choose another port."
        ) from error
    return listening
