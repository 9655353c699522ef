"""The process: takes orders on stdin and answers on stdout, one line of JSON each.

It ends with its stdin, and all machines with it.
"""

import asyncio
import json
import resource
import sys
from dataclasses import asdict
from typing import Any

from cloudjhub.local.machines.standins.guest import Guest
from cloudjhub.local.machines.standins.records import GuestPlan

#: Two listening ports of each machine, and whoever is connected.
WANTED_FILES = 65536


class Guests:
    """All machines by instance id, and what can be ordered about them."""

    def __init__(self) -> None:
        self._guests: dict[str, Guest] = {}

    def do(self, order: dict[str, Any]) -> Any:
        """Carries out one order. Raises OSError where a port is taken."""
        verb, instance_id = order["do"], order["machine"]
        if verb == "records":
            return [asdict(guest.record()) for guest in self._guests.values()]
        known = self._guests.get(instance_id)
        if verb == "power_on":
            self._guests[instance_id] = Guest(GuestPlan(**order["plan"]), before=known)
        elif verb == "destroy":
            self._guests.pop(instance_id, None)
            return known and known.power_off()
        elif known:
            return getattr(known, verb)(*order["arguments"])
        return None


async def serve() -> None:
    """Orders in turn until there are no more."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    guests = Guests()
    while line := await orders.readline():
        try:
            answer = {"done": guests.do(json.loads(line))}
        except OSError as error:
            answer = {"error": str(error)}
        _say(answer)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    asyncio.run(serve())


if __name__ == "__main__":
    main()
