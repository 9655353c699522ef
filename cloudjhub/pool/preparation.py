"""The first visit to a machine of the pool: has it booted to the end, and does it let us in?"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cloudjhub import remote
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import MachineNotAnswering
from cloudjhub.pool.watch import AT_ONCE
from cloudjhub.probe import sshd_answers

CONNECT_SECONDS = 10.0
_WARM_UP_SECONDS = 120.0
_BUSY = 75

# cloud-init writes the result when all of its work is done. The disk of a machine that was made by
# it is a snapshot whose blocks come when they are first read: minutes for a server's first start,
# so what every server reads is read ahead.
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-initialize.html
COMMAND = f"""
cd "$CLOUDJHUB_ROOT/run/cloud-init" 2> /dev/null || exit 0
[ -e result.json ] || [ -e disabled ] || exit {_BUSY}
PATH="$PATH:/opt/cloudjhub/bin:/usr/local/bin:/opt/conda/bin:/opt/tljh/user/bin:/opt/jupyterhub/bin"
server=$(command -v jupyterhub-singleuser) || exit 0
timeout 100 nice "$server" --version > /dev/null 2>&1
timeout 15 cat "${{server%/bin/*}}"/share/jupyter/lab/static/* > /dev/null 2>&1
exit 0
"""


def prepare(config: ClusterConfig, instance: Instance, fingerprint: str | None) -> str:
    """Log in, see that the first boot is over, warm the disk up; gives the host key's fingerprint.

    Blocks for seconds. Raises MachineNotAnswering while it boots, LoginRefused, HostKeyChanged.
    """
    target = remote.Target(
        host=instance.private_ip or "",
        port=config.worker_ssh_port,
        username=config.worker_username,
        key_file=config.worker_key_file,
    )
    session = remote.connect(target, fingerprint=fingerprint, timeout_seconds=CONNECT_SECONDS)
    try:
        output = session.run(COMMAND, timeout_seconds=_WARM_UP_SECONDS)
        if output.exit_code == _BUSY:
            raise MachineNotAnswering(f"Machine {instance.id} has not finished its first boot.")
        return session.fingerprint
    finally:
        session.close()


class Visitor:
    """Asks machines of the pool, in threads of its own, so that no login waits for one."""

    def __init__(self, config: Callable[[], ClusterConfig]):
        self._config = config
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pool-ssh")

    async def prepare(self, instance: Instance, fingerprint: str | None) -> str:
        """As the function of this name."""
        loop = asyncio.get_running_loop()
        work = (self._threads, prepare, self._config(), instance, fingerprint)
        return await loop.run_in_executor(*work)

    async def answers(self, instance: Instance) -> bool:
        """Whether a word comes from its sshd."""
        return await sshd_answers(instance.private_ip or "", self._config().worker_ssh_port)

    def close(self) -> None:
        """Visit nobody any more; a visit under way goes on to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
