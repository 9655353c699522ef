"""Stands for jupyterhub-singleuser where a test needs many servers or none of its features.

Listens where JupyterHub wants it and says whose it is; starts in a tenth of a second.
"""

import http.server
import os
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers everything with the user's name."""

    def do_GET(self) -> None:
        body = os.environ["JUPYTERHUB_USER"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    where = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    http.server.ThreadingHTTPServer((where.hostname, where.port), Handler).serve_forever()
