"""Stands for jupyterhub-singleuser where a real one for each of many users would be too much.

Listens where JUPYTERHUB_SERVICE_URL says and answers every request with the user it runs for.
"""

import http.server
import json
import os
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    """Says whose server this is, whatever is asked."""

    def do_GET(self) -> None:
        body = json.dumps({"user": os.environ["JUPYTERHUB_USER"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # The hub compares it with its own and warns.
        self.send_header("X-JupyterHub-Version", os.environ.get("BENCHMARK_HUB_VERSION", ""))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *values: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    http.server.ThreadingHTTPServer((url.hostname or "", url.port or 0), Handler).serve_forever()
