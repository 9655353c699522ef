"""The real single-user server on a machine, with as much of a hub as it asks for."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jupyterhub
import pytest
from remote.servers import TOKEN, alive, plan_for

from cloudjhub import notebook


@pytest.fixture
def hub() -> Iterator[str]:
    """As much of a hub as a single-user server asks for at its start."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"version": jupyterhub.__version__}).encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()


@pytest.mark.slow
def test_real_single_user_server(fresh_machine, hub, wait_for):
    plan = plan_for(fresh_machine, command=("jupyterhub-singleuser",))
    config = fresh_machine.root / "etc"
    config.mkdir()
    (config / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    environment = {
        **plan.environment,
        "JUPYTER_CONFIG_PATH": str(config),
        "JUPYTERHUB_API_URL": hub,
        "JUPYTERHUB_ACTIVITY_URL": f"{hub}/users/x/activity",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-x",
        "JUPYTERHUB_USER": "x",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/x/",
        "JUPYTERHUB_BASE_URL": "/",
    }
    url = f"http://{fresh_machine.target.host}:{plan.port}/user/x/api"

    def version() -> str | None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:
            return answer.headers["X-JupyterHub-Version"]

    with fresh_machine.connect() as session:
        notebook.start(session, replace(plan, environment=environment))
        try:
            assert wait_for("JupyterLab", version, 240) == jupyterhub.__version__
        finally:
            notebook.stop(session)
            words = notebook.status(session).log_tail
    assert TOKEN not in words
    assert not (fresh_machine.pids() & alive(fresh_machine.pids()))
