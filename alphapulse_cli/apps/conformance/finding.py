"""Findings of the conformance kit, and the exception with which a check reports a fault."""

from dataclasses import dataclass
from enum import Enum, unique


@unique
class CheckVerdict(Enum):
    """Verdict of one check on one feed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check: a description if it passed, the finding if it failed. `detail` may contain an exchange's text."""

    exchange: str
    mode: str
    check: str
    verdict: CheckVerdict
    detail: str


class Fault(Exception):
    """A rule that the exchange's package breaks; the text is one sentence for its author."""


class DoesNotApply(Exception):
    """A check that this feed cannot be put to; the text says why."""


def require(holds: object, fault: str) -> None:
    """Raise Fault with that text unless `holds`."""
    if not holds:
        raise Fault(fault)
