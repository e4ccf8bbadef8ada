"""The page about Prometheus names metrics and labels that there are."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "scrape-with-prometheus.md"
SUFFIX = re.compile(r"_(bucket|count|sum)$")
OF_PROMETHEUS = {"le"}


def metrics():
    pytest.importorskip("prometheus_client")
    from alphapulse_cli.apps.serve.metrics import METRICS
    from alphapulse_cli.apps.serve.own_metrics import OWN_METRICS

    return {one.name: one for one in (*METRICS, *OWN_METRICS)}


def test_its_metrics_and_labels_exist():
    known, text = metrics(), PAGE.read_text()
    named = set(re.findall(r"alphapulse_[a-z0-9_]+", text))
    assert len(named) > 12
    for name in named:
        base = SUFFIX.sub("", name)
        assert name in known or (base in known and known[base].kind == "histogram"), name
    for labels, name in re.findall(r"by \(([a-z, ]+)\) \((?:rate|increase)\((alphapulse_[a-z_]+)", text):
        metric = known.get(name) or known[SUFFIX.sub("", name)]
        assert {one.strip() for one in labels.split(",")} <= {*metric.labels, *OF_PROMETHEUS}
