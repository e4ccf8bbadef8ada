"""Conformance checks that every exchange package must pass; `alphapulse exchanges check example` prints them as a table."""

import pytest

from alphapulse_cli import exchanges
from alphapulse_cli.apps import conformance

FINDINGS = list(conformance.check(exchanges.get("example")))


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: f"{finding.mode or 'facts'}: {finding.check}")
def test_it_holds(finding):
    assert finding.verdict is not conformance.CheckVerdict.FAILED, finding.detail
