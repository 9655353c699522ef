"""``scripts/demo``: the whole system on this computer, until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import sys
import time

from cloudjhub.demo.check import check
from cloudjhub.demo.command_line import parser
from cloudjhub.demo.folder import ADMIN, default_folder
from cloudjhub.demo.hub_files import clean_environment
from cloudjhub.demo.stack import Demo, DemoSettings, local_settings
from cloudjhub.errors import CloudJHubError

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One progress line."""
    tell(f"[{time.monotonic() - _STARTED:5.1f} s] {text}")


def tell(text: str) -> None:
    """Print. That nobody reads any more must not keep the demo from running or ending."""
    try:
        print(text, flush=True)
    except OSError:
        # The terminal was closed, or the program behind a pipe has ended.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


async def serve(settings: DemoSettings) -> None:
    """Run the demo until somebody ends it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        again = stop.is_set()
        stop.set()
        say("Already stopping; a moment, please." if again else "Stopping everything.")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    stopped = asyncio.create_task(stop.wait())
    demo = Demo(settings, say=say)
    starting = asyncio.create_task(demo.__aenter__())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        await starting
        tell(welcome(demo))
        failing = asyncio.create_task(demo.failure())
        await asyncio.wait({failing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            await failing
    finally:
        starting.cancel()
        with contextlib.suppress(BaseException):
            await starting
        await demo.stop()
    say(f"Everything has ended; files stay in {demo.folder.path}.")


def welcome(demo: Demo) -> str:
    """What a newcomer needs to know."""
    users = ", ".join(demo.settings.users)
    return f"""
    cloudJHub runs at {demo.url}

      log in as    {users}
      password     {demo.password(demo.settings.users[0])}

      log in as    {ADMIN}
      password     {demo.password(ADMIN)}

    Everyone gets a machine of their own at the first login. Logs and files: {demo.folder.path}
    Ctrl-C ends everything; the machines' files stay for the next time.
"""


def main() -> int:
    """Run the command; the exit code says whether all went well."""
    arguments = parser().parse_args()
    # The local EC2 and its machines live in this process: nothing of the caller's AWS account,
    # hub or web proxy may reach them.
    environment = clean_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    local = local_settings(arguments.boot_seconds, arguments.machines)
    if arguments.check:
        return asyncio.run(check(local, folder=arguments.state))
    folder = arguments.state or default_folder()
    try:
        asyncio.run(serve(DemoSettings(folder=folder, port=arguments.port, local=local)))
    except CloudJHubError as error:
        print(error.advice, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
