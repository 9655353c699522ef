"""The hub as a notebook server knows it: what it says of idle machines, and when it was heard."""

import json
import os
import time
from collections import namedtuple

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

REQUEST_SECONDS = 15.0
# What a hub that has lost its way answers; a hub that says "no" is there.
BROKEN = 500

# As cloudjhub.culler.policy decides and the hub's API tells it; quiet_until is unix seconds.
Terms = namedtuple(
    "Terms",
    "timeout_seconds action keep_seconds max_age_seconds quiet_until"
    " busy_cpu_percent busy_gpu_percent busy_minutes",
)


def terms_from(answer):
    """Terms out of the API's answer. ValueError, KeyError, TypeError if it is no such thing."""
    numbers = {
        name: float(answer[name]) for name in Terms._fields if name not in ("action", "quiet_until")
    }
    quiet = answer["quiet_until"]
    return Terms(
        action=str(answer["action"]), quiet_until=moment(quiet) if quiet else None, **numbers
    )


def moment(text):
    """Unix seconds of an ISO date."""
    from datetime import datetime

    # Python 3.8 to 3.10 do not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Hub:
    """Asks the hub; ``terms`` is its last good answer (None: none yet).

    ``heard`` is when it last answered anything, in unix seconds; 0: never.
    """

    def __init__(self, log, environment=os.environ):
        self._log = log
        self._url = environment.get("CLOUDJHUB_IDLE_URL")
        self._token = environment.get("JUPYTERHUB_API_TOKEN", "")
        self._certificates = {
            "ca_certs": environment.get("JUPYTERHUB_SSL_CLIENT_CA") or None,
            "client_cert": environment.get("JUPYTERHUB_SSL_CERTFILE") or None,
            "client_key": environment.get("JUPYTERHUB_SSL_KEYFILE") or None,
        }
        self._said = None
        self.terms = None
        self.heard = 0.0

    async def ask(self):
        """Read the terms; a hub that does not answer, or something else, leaves the last ones."""
        if not self._url:
            return
        try:
            answer = await self._fetch()
            if answer.code < BROKEN:
                self.heard = time.time()
            answer.rethrow()
            self.terms = terms_from(json.loads(answer.body.decode()))
            self._said = None
        except Exception as error:  # the outermost loop asks again
            self._say(f"The hub did not say when idle machines stop: {error}")

    async def _fetch(self):
        request = HTTPRequest(
            self._url,
            headers={"Authorization": f"token {self._token}"},
            connect_timeout=REQUEST_SECONDS,
            request_timeout=REQUEST_SECONDS,
            **self._certificates,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    def _say(self, sentence):
        """Once, and not again while it is the same."""
        if sentence != self._said:
            self._log.warning("%s", sentence)
        self._said = sentence
