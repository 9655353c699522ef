"""How busy the machine's GPUs are, as nvidia-smi says."""

import asyncio
import shutil
from contextlib import suppress

COMMAND = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
# It takes a second or two on machines whose driver has to wake up.
SECONDS = 20.0


def busiest(text):
    """The highest percentage of nvidia-smi's answer; None if it has none."""
    percents = [float(line) for line in text.split("\n") if line.strip().isdigit()]
    return max(percents, default=None)


async def percent():
    """How busy the busiest GPU is now; None on machines without."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program,
        *COMMAND,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except asyncio.TimeoutError:
        with suppress(ProcessLookupError, asyncio.TimeoutError):
            process.kill()
            await asyncio.wait_for(process.wait(), 1.0)  # unless the driver hangs
        return None
    return busiest(out.decode("utf-8", "replace"))
