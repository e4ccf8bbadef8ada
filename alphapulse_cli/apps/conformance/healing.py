"""Waiting for books: until all are LIVE and right, in virtual time; what every check begins with and most end with."""

import contextlib
from collections.abc import Callable

from alphapulse_cli.apps.conformance.finding import Fault, require
from alphapulse_cli.apps.conformance.line import Line
from alphapulse_cli.wire.delta import BookState

HEALED_WITHIN = 700  # steps, 70 virtual seconds: the longest pause of a decoder that asks again is 60 s

MakeLine = Callable[[], Line]


def start_live(line: Line) -> None:
    """Wait until every book is LIVE; Fault if that takes 70 virtual seconds."""
    heal(line, "the opening")


def heal(line: Line, after: str) -> None:
    """Step until all books are LIVE and right, at most HEALED_WITHIN steps; Fault otherwise."""
    for _ in range(HEALED_WITHIN):
        if line.is_live():
            require_right(line, f"LIVE again after {after}")
            return
        line.step()
    raise Fault(f"after {after} not all books are LIVE within {HEALED_WITHIN // 10} s: {states(line)}; {_last_notice(line)}")


def require_right(line: Line, when: str) -> None:
    """Fault for a LIVE book that is not the market's, or that is empty."""
    wrong = line.wrong_books()
    require(not wrong, f"{when} a LIVE book is wrong: {'; '.join(wrong)}")
    empty = [symbol for symbol, keeper in line.keepers.items() if keeper.state is BookState.LIVE and not keeper.book.bids()]
    require(not empty, f"{when} a LIVE book has no bids: {' '.join(empty)}")


def states(line: Line) -> str:
    """Sentence about the state of each book."""
    return ", ".join(f"{symbol} {keeper.state.name} ({keeper.reason.name})" for symbol, keeper in line.keepers.items())


def _last_notice(line: Line) -> str:
    with contextlib.suppress(IndexError):
        return f"the last notice: {line.notices[-1]}"
    return "without any notice"
