"""``python -m cloudjhub.culler``: run by the hub, as jupyterhub_config.py says."""

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tornado.web import Application

from cloudjhub.config_file import ConfigFile
from cloudjhub.culler import clocks, gauges, service, web
from cloudjhub.culler.board import Board
from cloudjhub.culler.hub import Hub
from cloudjhub.culler.ledger import Ledger
from cloudjhub.culler.pace import Pace
from cloudjhub.culler.rounds import Rounds
from cloudjhub.culler.sweep import Sweeper

log = logging.getLogger(__name__)

#: in the hub's working folder, where its database is unless somebody moved that
LEDGER = "cloudjhub_culler_ledger.json"
_PR_SET_PDEATHSIG = 1
_LISTEN_TRIES = 60
_LISTEN_PAUSE_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until the hub ends, or ends it."""
    parser = argparse.ArgumentParser(prog="python -m cloudjhub.culler", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="say what a sweep would do, and end")
    dry = parser.parse_args(arguments).dry_run
    logging.basicConfig(
        format="[%(levelname)1.1s %(asctime)s culler] %(message)s", level=logging.INFO
    )
    # The hub looks at the page once a minute; boto3 says where it found its credentials.
    for name in ("tornado.access", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if dry:
        asyncio.run(print_sweep())
        return
    end_with_hub(os.environ.get(service.HUB_PID, ""))
    asyncio.run(serve())


def end_with_hub(hub_pid: str) -> None:
    """A hub that was killed ends no service, and the next one begins another."""
    if hub_pid and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(hub_pid):
            sys.exit("The hub that began this has ended.")


async def serve() -> None:
    """The page first: the hub waits for it before it goes on."""
    pace, file, hub = Pace.of(), _config_file(), _hub()
    ledger = Ledger(Path(LEDGER), pace)
    all_rounds = Rounds(file, hub, ledger, pace, clock=clocks.utcnow, monotonic=clocks.monotonic)
    sweeps = Sweeps(Sweeper(config=file.current, ask=hub.ask), all_rounds.board)
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    page = web.application(all_rounds.board, os.environ["JUPYTERHUB_SERVICE_PREFIX"])
    await listen(page, address.port or 80, address.hostname or "127.0.0.1")
    # Beside each other: a sweep waits for EC2, and time without a round is time without sight.
    await asyncio.gather(
        again_and_again(all_rounds.round, pace.round_seconds),
        again_and_again(sweeps.round, pace.sweep_seconds),
    )


async def listen(page: Application, port: int, address: str) -> None:
    """Somebody else may have the port for a moment, and without a page the hub ends.

    Raises OSError where it is theirs for longer.
    """
    for left in reversed(range(_LISTEN_TRIES)):
        try:
            page.listen(port, address)
            return
        except OSError as error:
            if not left:
                raise
            log.warning("The page is not there yet: port %s: %s", port, error)
        await asyncio.sleep(_LISTEN_PAUSE_SECONDS)


async def print_sweep() -> None:
    """What a sweep would do at this moment, which is done by nobody."""
    report = await Sweeper(config=_config_file().current, ask=_hub().ask).round(dry=True)
    print(report.text())


def _config_file() -> ConfigFile:
    return ConfigFile(os.environ["CLOUDJHUB_CONFIG"])


def _hub() -> Hub:
    return Hub(os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"])


@dataclass(frozen=True)
class Sweeps:
    """Sweeps, and where it is seen what they found."""

    sweeper: Sweeper
    board: Board

    async def round(self) -> None:
        """One sweep."""
        self.board.sweep = await self.sweeper.round()
        gauges.swept(self.board.sweep)


async def again_and_again(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Begun every so many seconds for ever; what nobody foresaw ends one time only."""
    while True:
        begun = time.monotonic()
        try:
            await work()
        except Exception:
            log.exception("A round failed")
        await asyncio.sleep(_pause_seconds(seconds, time.monotonic() - begun))


def _pause_seconds(period: float, took: float) -> float:
    """Until the next begins: at least a second, so that a hub that is slow gets some rest."""
    return max(min(1.0, period), period - took)


if __name__ == "__main__":
    main()
