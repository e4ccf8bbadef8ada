"""What comes next is said where a person looks: after a simulator's addresses, in a traceback, first in a line that may be cut."""

import io
import subprocess
import sys

import pytest
from rich.console import Console
from support.reader_sets import Writer, kept_alive, ladder
from support.terminals import Terminal

from alphapulse_cli.cli import board
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState

TOTALS = {"connections": 1, "connections_open": 1, "gaps": 3, "checksums_bad": 4, "resyncs": 5, "reconnects": 6}


def test_a_simulator_says_how_to_collect_from_it(quick):
    """The command beneath the addresses has what a collector needs to meet the same market."""
    command = [*quick.command, "sim", "kraken", "--symbols", "BTC-USD", "--duration", "0.1"]
    terminal = Terminal(command, 200, 10, env=quick.environment(), cwd=quick.directory)
    try:
        assert terminal.wait() == 0
        lines = terminal.screen.text.splitlines()
    finally:
        terminal.close()
    (address,) = [word for line in lines for word in line.split() if word.startswith("ws://") and line.startswith("kraken ")]
    assert f"to collect from it: alphapulse collect --exchange kraken --url {address} --symbols BTC-USD" in [
        line.strip() for line in lines
    ]


def test_a_traceback_of_pythons_own_shows_the_hint(quick):
    """`ap.follow` of what is not there, in a program that catches nothing."""
    program = "import alphapulse_cli as ap; ap.follow('krakn')"
    done = subprocess.run([sys.executable, "-c", program], env=quick.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-2].startswith("alphapulse_cli.errors.NoSegment: ")
    assert said[-1].startswith("hint: ")


def test_the_board_tells_faults_before_rates():
    """The end of the line is what a narrow terminal cuts."""
    said = board.set_words(SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS))
    assert said.index("3 gaps, 4 bad checksums, 5 resyncs, 6 reconnects") < said.index("messages/s")


def test_the_board_counts_the_open_connections_of_a_set_with_several():
    one, two = ({**TOTALS, "connections": total, "connections_open": opened} for total, opened in ((1, 1), (3, 2)))
    said = [board.set_words(SetStatus("kraken", "kraken", Liveness.LIVE, totals=totals)) for totals in (one, two)]
    assert ["connections" in line.replace("reconnects", "") for line in said] == [False, True]
    assert "2 of 3 connections" in said[1]


def test_the_board_at_80_columns_cuts_no_price_beside_a_long_state():
    """The long state takes a second line, and rates give way."""
    book = BookStatus(
        "kraken",
        "BTC-USD",
        BookState.SYNCING,
        BookReason.DISCONNECTED,
        bid="62788.1",
        ask="62793.7",
        trading_status=TradingStatus.CANCEL_ONLY,
    )
    terminal = io.StringIO()
    console = Console(width=80, file=terminal)
    console.print(board.board([SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS, books=[book])], [], "title", 80, 24))
    said = terminal.getvalue()
    for whole in ("BTC-USD", "kraken ", "62788.1", "62793.7", "disconnected", "cancel only"):
        assert whole in said, said


NOTICE = (
    "binance-us: disconnected: wss://stream.binance.us:9443/ws answers 429; it asks to be left alone until 12:30:15Z (in 600 s)"
)


def shown_board(width, height, notices, state=BookReason.DISCONNECTED):
    """What a terminal of that size shows of a board with these notices."""
    books = [BookStatus("kraken", f"{name}-USD", BookState.SYNCING, state, bid="62788.1", ask="62793.7") for name in ("BTC", "ETH")]
    terminal = io.StringIO()
    console = Console(width=width, height=height, file=terminal)
    console.print(
        board.board([SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS, books=books)], notices, "title", width, height)
    )
    return terminal.getvalue().splitlines()[:height]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_board_cuts_no_notice_and_no_sentence_about_a_set(width):
    """Both go on in another line, at a word."""
    lines = shown_board(width, 30, [NOTICE])
    text = " ".join(" ".join(lines).split())
    assert NOTICE in text
    assert board.set_words(SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS)).split("live,")[1] in text.replace(
        "0/2", "0/0"
    )
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("height", [14, 18, 24])
def test_where_notices_have_no_room_the_newest_is_whole_and_last(height):
    """Older ones go first."""
    lines = shown_board(60, height, [f"notice {number} {NOTICE}" for number in range(6)])
    text = " ".join(" ".join(lines).split())
    assert f"notice 5 {NOTICE}" in text
    assert lines[-1].strip().endswith("s)")
    assert "notice 0" not in text


def test_tail_on_a_terminal_says_that_a_collector_has_ended_and_that_it_is_back(quick, directory):
    """Each once, with the command that helps; a quiet terminal would let a person wait for ever."""
    with Writer(directory) as ended:
        ended.snapshot(ladder(4))
    terminal = Terminal([*quick.command, "tail", "deltas"], 160, 20, env=quick.environment(), cwd=quick.directory)
    try:
        terminal.until(lambda text: "warning: the collector of kraken has ended" in text, "what became of it")
        terminal.until(lambda text: "hint: start it again: alphapulse collect --exchange kraken" in text, "what to do")
        with Writer(directory) as again:
            again.snapshot(ladder(4))
            with kept_alive(again):
                terminal.until(lambda text: "the collector of kraken is back" in text, "that it is back")
        assert terminal.screen.text.count("the collector of kraken has ended") == 1
    finally:
        terminal.close()


def many_books(count, ailing):
    return [
        BookStatus("kraken", f"S{place:03}-USD", BookState.STALE if place in ailing else BookState.LIVE, BookReason.NONE)
        for place in range(count)
    ]


@pytest.mark.parametrize(("height", "count"), [(24, 600), (24, 18), (12, 40), (6, 40), (24, 3)])
def test_the_board_of_more_books_than_lines_keeps_the_sets_and_the_newest_notice_in_sight(height, count):
    """Books that are not LIVE come before the others."""
    books = many_books(count, ailing={count - 1})
    status = SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS, books=books)
    terminal = io.StringIO()
    Console(width=160, file=terminal).print(board.board([status], ["kraken: the newest notice"], "title", 160, height))
    lines = terminal.getvalue().splitlines()
    rows = [line for line in lines if line.startswith("S")]
    assert f"S{count - 1:03}-USD" in rows[-1]
    assert any(f"{count - 1}/{count} books live" in line for line in lines)
    assert lines[-1] == "kraken: the newest notice"
    hidden = count - len(rows)
    assert [line for line in lines if line.startswith("and ")] == ([f"and {hidden} more books, all LIVE"] if hidden else [])
    assert len(lines) <= height or (height == 6 and len(rows) == 1)
    assert bool(hidden) == (count > height - 8)


def test_the_board_tells_how_many_ailing_books_found_no_room():
    status = SetStatus("kraken", "kraken", Liveness.LIVE, totals=TOTALS, books=many_books(100, ailing=set(range(60))))
    terminal = io.StringIO()
    Console(width=160, file=terminal).print(board.board([status], [], "title", 160, 24))
    lines = terminal.getvalue().splitlines()
    rows = sum(line.startswith("S") for line in lines)
    assert f"and {100 - rows} more books, {60 - rows} of them not LIVE" in lines


def test_of_the_books_that_find_no_room_the_ailing_ones_do():
    books = many_books(100, ailing={7, 60, 99})
    chosen = board.ailing_first(books, {id(book): 1 for book in books}, 5)
    assert [book.symbol for book in chosen] == ["S000-USD", "S001-USD", "S007-USD", "S060-USD", "S099-USD"]
