"""How often the culler looks, and for how long it may have heard nothing of somebody who works."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

#: JSON object with some of Pace's fields, for tests that cannot wait
VARIABLE = "CLOUDJHUB_CULLER_PACE"


@dataclass(frozen=True)
class Pace:
    """Seconds."""

    round_seconds: float = 30.0
    sweep_seconds: float = 60.0
    #: between two looks at the hub; after more of them the time between counts as unseen
    hole_seconds: float = 90.0
    #: how often a single-user server tells the hub when it last worked: JupyterHub's default, which
    #: those that an older hub has started go by
    report_seconds: float = 300.0
    #: how often it does so while it works
    work_report_seconds: float = 60.0

    @property
    def floor_seconds(self) -> float:
        """Nobody can be told to be idle for less: a hole that is none yet may swallow a report.

        It is then repeated, at most a quarter of a minute after the hub is back.
        """
        return self.hole_seconds + 1.25 * self.work_report_seconds

    @property
    def settle_seconds(self) -> float:
        """After a hole, until every server has told what it did in it.

        JupyterHub varies the interval by a tenth; a report that failed is repeated for a minute at
        most, and then comes with the next.
        """
        return 1.2 * self.report_seconds

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Pace":
        """As the environment says."""
        return cls(**json.loads(environment.get(VARIABLE) or "{}"))
