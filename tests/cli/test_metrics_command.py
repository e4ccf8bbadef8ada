"""`alphapulse metrics`: the text of one scrape, of what is wanted, and what it says where nothing is collected."""

import pytest
from support.reader_sets import kept_alive

pytest.importorskip("prometheus_client")


def test_it_prints_what_a_parser_of_prometheus_reads(quick, writer):
    from prometheus_client.parser import text_string_to_metric_families

    with kept_alive(writer):
        done = quick("metrics")
    assert (done.code, done.stderr) == (0, "")
    found = {family.name: family for family in text_string_to_metric_families(done.stdout)}
    assert [sample.value for sample in found["alphapulse_set_live"].samples] == [1]
    assert {sample.labels["symbol"] for sample in found["alphapulse_book_state"].samples} == {"BTC-USD", "ETH-USD"}


def test_only_what_is_wanted(quick, writer):
    out = quick("metrics", "--symbol", "btc/usd").stdout
    assert 'symbol="BTC-USD"' in out
    assert 'symbol="ETH-USD"' not in out


@pytest.mark.parametrize("wanted", [(), ("--exchange", "coinbase"), ("--symbol", "DOGE-USD")])
def test_nothing_to_attach_to(quick, request, wanted):
    if wanted:
        request.getfixturevalue("writer")
    done = quick("metrics", *wanted)
    assert (done.code, done.stdout) == (3, "")
    assert "\nhint: " in done.stderr
