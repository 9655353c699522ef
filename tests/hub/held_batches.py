"""Part of a hub's configuration: how many share an EC2 call does not depend on the hub's pace.

See together.py, which is what tests use.
"""

import asyncio
import os
from pathlib import Path

from cloudjhub.fleet import batch, fleet

COUNT = Path(os.environ["CLOUDJHUB_CONFIG"]).parent / "ec2/together"


def wanted() -> int:
    """How many have to share a call."""
    try:
        return int(COUNT.read_text())
    except FileNotFoundError:
        return 0


class HeldBatcher(batch.Batcher):
    """Its window opens when enough wait."""

    async def _flush_after_window(self):
        while len(self._waiting) < wanted():
            await asyncio.sleep(0.05)
        await super()._flush_after_window()


fleet.Batcher = HeldBatcher
