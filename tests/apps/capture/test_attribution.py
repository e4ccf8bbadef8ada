"""Rows of a symbol: its own frames, none of another's, and what is of no symbol."""

import json
from dataclasses import replace

import pytest
from support.captures import tape_rows
from support.small_captures import BTC, ETH, HEAD, MS, T0, frame, opened, said, shut, write

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.capture.cat import Wanted, rows_of
from alphapulse_cli.apps.capture.places import Span
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.head import instrument_row
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import UsageError

BOTH = replace(HEAD, instruments=(BTC, ETH))
HEARTBEAT = b'{"channel":"heartbeat"}'


def of(symbol, at_ms, connection=1):
    return frame(at_ms, b'{"channel":"book","data":[{"symbol":"%b"}]}' % symbol.encode(), connection)


def cat(folder, *symbols, **more):
    """(kind, connection, time in ms) of the rows."""
    rows = rows_of(capture_files([folder]), Wanted(symbols=symbols, **more), lambda *_: pytest.fail("damage"))
    return [(row.kind.decode(), row.connection, (row.time_ns - T0) // MS) for row in rows]


def test_rows_of_a_symbol_and_those_of_none_are_kept(tmp_path):
    rows = [
        opened(0, 1, ["BTC/USD", "ETH/USD"]),
        opened(1, 2, ["ETH/USD"]),
        of("BTC/USD", 2),
        of("ETH/USD", 3),
        frame(4, HEARTBEAT),
        of("ETH/USD", 5, 2),
        frame(6, HEARTBEAT, 2),
        Row(b"rest", T0 + 7 * MS, 1, said(request="snapshot", symbol="BTC/USD", path="/", status=200) + b"\n{}"),
        Row(b"rest", T0 + 8 * MS, 1, said(request="snapshot", symbol="ETH/USD", path="/", status=200) + b"\n{}"),
        Row(b"rest", T0 + 9 * MS, 1, said(request="instruments", symbol="", path="/", status=200) + b"\n{}"),
        Row(b"rest", T0 + 10 * MS, 2, said(request="instruments", symbol="", path="/", status=200) + b"\n{}"),
        Row(b"lost", T0 + 11 * MS, 0, said(rows=1, bytes=1, from_ns=T0, to_ns=T0, reason="x")),
        Row(b"sent", T0 + 12 * MS, 1, b'{"symbol":["ETH/USD"]}'),
        shut(13, 2),
        shut(14, 1),
    ]
    write(tmp_path, rows, BOTH)
    kept = [0, 2, 4, 7, 9, 11, 14]
    assert [time for kind, _, time in cat(tmp_path, "BTC-USD") if kind != "head"] == kept
    assert cat(tmp_path, "kraken:BTC-USD") == cat(tmp_path, "BTC-USD")
    assert cat(tmp_path, "BTC-USD", "ETH-USD") == cat(tmp_path)
    later = Span(T0 + 4 * MS, T0 + 10 * MS)  # the connection was told before it
    assert [time for _, _, time in cat(tmp_path, "BTC-USD", span=later)] == [4, 7, 9]
    assert cat(tmp_path, "BTC-USD", kinds=frozenset([b"recv"])) == [("recv", 1, 2), ("recv", 1, 4)]


def test_a_symbol_that_was_added_later_is_known(tmp_path):
    added = Row(b"memb", T0 + 2 * MS, 0, said(added=[instrument_row(ETH)], removed=[]))
    write(tmp_path, [opened(0), of("BTC/USD", 1), added, opened(3, 2, ["ETH/USD"]), of("ETH/USD", 4, 2)])
    assert [row[2] for row in cat(tmp_path, "ETH-USD")] == [0, 2, 3, 4]
    assert [row[2] for row in cat(tmp_path, "BTC-USD")] == [0, 0, 1, 2]


def test_names_are_whole_words(tmp_path):
    longer = replace(BTC, symbol="WBTC-USD", native="WBTC/USD")
    write(
        tmp_path,
        [opened(0, 1, ["BTC/USD", "WBTC/USD"]), of("WBTC/USD", 1), of("BTC/USD", 2)],
        replace(HEAD, instruments=(BTC, longer)),
    )
    assert [row[2] for row in cat(tmp_path, "BTC-USD", kinds=frozenset([b"recv"]))] == [2]


def test_numbered_channels_are_those_of_their_acks_or_of_a_checkpoint(tmp_path):
    head = replace(
        HEAD,
        exchange="bitfinex",
        set_name="bitfinex",
        instruments=tuple(replace(one, exchange="bitfinex", native=f"t{one.symbol.replace('-', '')}") for one in (BTC, ETH)),
    )
    held = json.dumps(
        {"books": [], "position": {"next": 1, "channels": [["book", "tBTCUSD", 31], ["book", "tETHUSD", 32]]}}
    ).encode()
    rows = [
        opened(0, 1, ["tBTCUSD", "tETHUSD"]),
        frame(1, b'{"event":"subscribed","channel":"book","chanId":11,"symbol":"tBTCUSD","prec":"P0"}'),
        frame(2, b'{"event":"subscribed","channel":"book","chanId":12,"symbol":"tETHUSD","prec":"P0"}'),
        frame(3, b"[11,[1,2,3],4]"),
        frame(4, b"[12,[1,2,3],5]"),
        frame(5, b"[13,[1,2,3],6]"),
        Row(b"held", T0 + 6 * MS, 1, held + b"\n"),
        frame(7, b"[31,[1,2,3],7]"),
        frame(8, b"[32,[1,2,3],8]"),
    ]
    write(tmp_path, rows, head)
    assert [row[2] for row in cat(tmp_path, "BTC-USD", kinds=frozenset([b"recv"]))] == [1, 3, 5, 7]


def test_a_symbol_that_is_not_there_is_refused_with_a_near_one(tmp_path):
    write(tmp_path, [opened(0)])
    with pytest.raises(UsageError, match="BTC-UDS: not in the capture") as caught:
        cat(tmp_path, "BTC-UDS")
    assert caught.value.hint == "did you mean BTC-USD?"


@pytest.mark.parametrize("feed", [one for one in FEEDS if one.case not in ("bitfinex", "coinbase")], ids=lambda one: one.case)
def test_frames_of_every_feed_are_told_apart_on_one_connection(tmp_path, feed):
    """Two symbols of one connection: every frame of the one, and none that names the other."""
    other = feed._replace(symbol=feed.symbol.replace("BTC", "ETH"))
    (head, ours, _), (other_head, theirs, _) = (tape_rows(each, 30) for each in (feed, other))
    natives = [one.native for one in (*head.instruments, *other_head.instruments)]
    begin = ours[0]._replace(payload=said(url="ws://127.0.0.1:1", symbols=natives))
    rows = sorted([*ours[1:], *theirs[1:]], key=lambda row: row.time_ns)
    write(tmp_path, [begin, *rows], replace(head, instruments=(*head.instruments, *other_head.instruments)), block_rows=50)
    wanted = Wanted(kinds=frozenset([b"recv"]), symbols=(feed.symbol,))
    found = {row.payload for row in rows_of(capture_files([tmp_path]), wanted, lambda *_: None)}
    assert {row.payload for row in ours if row.kind == b"recv"} <= found
    strange = {row.payload for row in theirs[-30:]} & found
    assert not strange, next(iter(strange))[:300]
