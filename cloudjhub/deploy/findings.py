"""What is wrong, where, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cloudjhub.errors import CloudJHubError


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw. Only errors keep a cluster from being launched."""

    what: str  # a sentence
    where: str  # the setting, file or resource it is about
    remedy: str  # a sentence
    level: Literal["error", "note"] = "error"

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}".strip()


def note(what: str, where: str, remedy: str = "") -> Finding:
    """A finding that keeps nobody from launching."""
    return Finding(what, where, remedy, "note")


def errors_among(findings: Iterable[Finding]) -> list[Finding]:
    """Those that must be mended first."""
    return [finding for finding in findings if finding.level == "error"]


class Refused(CloudJHubError):
    """Nothing was done, because of these findings; a command ends with exit code 2."""

    remedy = "Nothing was created or changed."

    def __init__(self, findings: Iterable[Finding]):
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))
