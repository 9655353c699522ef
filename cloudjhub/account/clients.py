"""The AWS services that an operator's commands ask, made when first asked."""

from functools import cached_property

from cloudjhub.account import refusals
from cloudjhub.aws import Access, Service, Session

_ATTEMPTS = 5
_READ_SECONDS = 60


class Clients:
    """Every call of these can be repeated: by its token, its name, or because it only reads.

    For calls that cannot there is ``ec2_once``.
    """

    def __init__(self, access: Access):
        self.access = access
        self._session = Session(access, refusals)

    @cached_property
    def ec2(self) -> Service:
        return self._service("ec2")

    @cached_property
    def ec2_once(self) -> Service:
        """Asks once: an answer that is lost is not asked for again."""
        return self._session.service("ec2", attempts=1, read_seconds=_READ_SECONDS)

    @cached_property
    def iam(self) -> Service:
        return self._service("iam")

    @cached_property
    def sts(self) -> Service:
        return self._service("sts")

    @cached_property
    def quotas(self) -> Service:
        return self._service("service-quotas")

    def _service(self, name: str) -> Service:
        return self._session.service(name, attempts=_ATTEMPTS, read_seconds=_READ_SECONDS)
