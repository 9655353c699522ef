"""Stands for jupyterhub-singleuser: says its secrets aloud, has a kernel, serves its environment.

Modes: "serve"; "die" (last words, exit code 3); "stubborn" (ignores SIGTERM, as does its kernel).
"""

import http.server
import json
import os
import signal
import subprocess
import sys

mode, port = sys.argv[1], int(sys.argv[2])
print("the token is", os.environ.get("JUPYTERHUB_API_TOKEN"), flush=True)
if mode == "die":
    print("last words of the server", file=sys.stderr, flush=True)
    sys.exit(3)
kernel = "import time; time.sleep(600)"
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
# A kernel has a session of its own; its own parent is gone, as after a crash.
subprocess.run(
    [
        sys.executable,
        "-c",
        "import subprocess,sys;"
        f"subprocess.Popen([sys.executable,'-c',{kernel!r}],start_new_session=True)",
    ],
    check=True,
)
subprocess.Popen([sys.executable, "-c", kernel], start_new_session=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


address = os.environ["JUPYTERHUB_SERVICE_URL"].split("//")[1].split(":")[0]
print("serving", flush=True)
http.server.HTTPServer((address, port), Handler).serve_forever()
