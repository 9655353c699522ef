"""What the hub is told of activity: what is new and soon, and nothing twice."""

import asyncio
import os
import time

# Between two reports of somebody who works; the culler counts on it (cloudjhub.culler).
WORK_REPORT_SECONDS = 60.0


def is_due(activity, told, told_at, now, interval):
    """Whether to tell the hub of an activity (all in unix seconds).

    Whoever comes back after a pause is told of at once: the hub may be about to stop the machine.
    Whoever works is told of once in an interval, whoever does not not again.
    """
    return activity > told and now - told_at >= interval


class Reports:
    """Stands before ``notify_activity`` of JupyterHub's part of the server.

    JupyterHub tells the hub every so often, whether there is anything new or not.
    """

    def __init__(self, app, web_app, hub):
        self._tell = app.notify_activity
        self._web_app = web_app
        self._hub = hub
        said = os.environ.get("CLOUDJHUB_WORK_REPORT_SECONDS")
        self._interval = float(said or WORK_REPORT_SECONDS)
        self._told = self._told_at = 0.0
        self._underway = False
        self._telling = None
        app.notify_activity = self.tell

    def interval(self):
        """Seconds between two reports of somebody who works."""
        terms = self._hub.terms
        if terms is None or not terms.timeout_seconds:
            return self._interval
        return min(self._interval, terms.timeout_seconds / 3)

    def begin(self):
        """Tell the hub in the background, if it is time to."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._try())

    async def tell(self):
        """Tell the hub if it is time to. Raises what ``notify_activity`` raises."""
        activity, now = self._web_app.last_activity().timestamp(), time.time()
        if self._underway or not is_due(activity, self._told, self._told_at, now, self.interval()):
            return
        self._underway = True
        try:
            await self._tell()
        finally:
            self._underway = False
        self._told, self._told_at = activity, now
        self._hub.heard = time.time()

    async def _try(self):
        try:
            await self.tell()
        except Exception as error:  # the next look tries again; JupyterHub has logged it
            del error
