"""Whether the notebook server of a machine that is up still serves, from poll to poll."""

import asyncio
import logging

from cloudjhub.cluster import Cluster
from cloudjhub.ec2_values import Instance
from cloudjhub.naming import Owner
from cloudjhub.probe import Answer, Turns, notebook_answers

log = logging.getLogger(__name__)

_REFUSALS_BEFORE_DEAD = 3
_BETWEEN_REFUSALS_SECONDS = 1.0
_SILENCES_BEFORE_HUNG = 10  # a poll interval apart


class NotebookPoll:
    """What the polls of one server have heard. It goes with its spawner."""

    def __init__(self) -> None:
        self._silences = 0

    def begin(self) -> None:
        """Another server, of which nothing was heard yet."""
        self._silences = 0

    async def is_dead(
        self, cluster: Cluster, owner: Owner, machine: Instance, *, port: int, health_path: str
    ) -> bool:
        """Whether it refuses, or has been silent for long although others are heard."""
        answer = await _answer(cluster.questions, machine.private_ip or "", port, health_path)
        hearing = cluster.hearing
        hearing.note(owner, heard=answer is not Answer.SILENT)
        self._silences = self._silences + 1 if answer is Answer.SILENT else 0
        if answer is Answer.REFUSED:
            log.warning("%s of %s is up, its notebook server is not", machine.id, owner)
            return True
        if self._silences >= _SILENCES_BEFORE_HUNG and not hearing.deaf():
            log.warning(
                "%s of %s hangs: running for EC2, silent for us. It is switched off and on at "
                "the user's next start",
                machine.id,
                owner,
            )
            return True
        return False


async def _answer(questions: Turns, private_ip: str, port: int, health_path: str) -> Answer:
    """One answer; a refusal only if it stays one for a few seconds."""
    for attempt in range(_REFUSALS_BEFORE_DEAD):
        if attempt:
            await asyncio.sleep(_BETWEEN_REFUSALS_SECONDS)
        await questions.turn()
        answer = await notebook_answers(private_ip, port, health_path)
        if answer is not Answer.REFUSED:
            return answer
    return answer
