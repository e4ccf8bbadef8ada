"""Scorecards of feeds as rows of text: one for each exchange's set, each of its connections where there are several, each symbol.

readers/feeds.py ─► FeedCard ─► row          sets without a card ─► a sentence each
"""

from collections.abc import Sequence
from typing import Any

from alphapulse_cli.readers.feeds import KINDS, WINDOWS_NS, FeedCard, cards
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import SetStatus, StatusSource
from alphapulse_cli.shm.directory import Directory

ALL = "all"
WINDOWS, PARTS = (*WINDOWS_NS, ALL), (*KINDS, ALL)
NOBODY = "stopped"  # in place of a state, where no collector writes the set


def look(directory: Directory, wanted: Wanted, window: str, part: str = ALL) -> tuple[list[FeedCard], list[str]]:
    """Cards of the wanted sets over a window, or over all of them, of that kind or of all; and a sentence for each set without a card."""
    samples = StatusSource(directory).sample()
    windows = list(WINDOWS_NS) if window == ALL else [window]
    found = [card for one in windows for card in cards(directory, wanted, one, samples)]
    sets = {card.set for card in found}
    missing = [_why(one) for one in samples if one.name not in sets and wanted.takes_set(one.name, one.exchange)]
    return [card for card in found if part in (ALL, card.kind)], missing


def _why(status: SetStatus) -> str:
    if status.replay:
        return f"{REPLAY}: {status.name} is played from a recording, which has no scorecard"
    return f"{status.name} has no scorecard: its collector keeps none, or none of the symbols asked for"


def row(card: FeedCard) -> dict[str, Any]:
    """Card as texts of a table; "" for what does not apply, "-" for what is not known."""
    healing, delay = card.healing_ms, card.feed_delay_us
    compared = card.checksums_ok + card.checksums_bad
    return {
        "set": card.set,
        "feed": name(card),
        "window": card.window,
        "state": state(card),
        "valid": percent(card.valid_percent),
        "gaps": card.gaps,
        "resyncs": card.resyncs,
        "healing": joined((milliseconds(healing["p50"]), milliseconds(healing["p99"]))) if card.healings else "-",
        "checksums": f"{card.checksums_ok}/{compared}" if compared else "-",
        "delay": joined([microseconds(delay[key]) for key in ("p50", "p99", "p99.9")]) if delay["count"] else "-",
        "messages": rate(card.messages_per_s),
        "bytes": "" if card.kind == "symbol" else octets(card.bytes_per_s),
        "reconnects": "" if card.reconnects is None else card.reconnects,
        "open": "" if card.kind == "symbol" else percent(card.open_percent),
        "halts": card.halts,
        "ran": seconds(card.ran_ns),
    }


def name(card: FeedCard) -> str:
    """Name of a card within its set."""
    if card.kind == "exchange":
        return "all"
    return card.symbol if card.kind == "symbol" else f"connection {card.connection}"


def state(card: FeedCard) -> str:
    """State of a card's book or books now, and a trading status that is not the usual one."""
    now = card.state if card.state is not None else f"{card.books_live}/{card.books} LIVE" if card.books else "-"
    if not card.live:
        now = NOBODY
    if card.trading_status in (None, "TRADING"):
        return now
    return f"{now}, {str(card.trading_status).lower().replace('_', ' ')}"


def percent(share: float | None) -> str:
    """Share with as many digits as tell it from 100: 99.9, 99.99, 99.9987."""
    if share is None:
        return "-"
    if share == 100.0:
        return "100"
    digits = 1 if share < 99.9 else 2 if share < 99.99 else 4
    return f"{round(share * 10_000) // 10 ** (4 - digits) / 10**digits:.{digits}f}"  # a share has four decimals; never rounded up


def milliseconds(ms: int | None) -> str:
    """Duration of milliseconds: "12 ms", "3.4 s"."""
    return "-" if ms is None else f"{ms} ms" if ms < 1000 else seconds(ms * 1_000_000)


def microseconds(us: int | None) -> str:
    """Duration of microseconds: "480 us", "12.3 ms", "3.4 s"."""
    if us is None:
        return "-"
    return f"{us} us" if us < 1000 else f"{us / 1000:.1f} ms" if us < 1_000_000 else seconds(us * 1000)


def seconds(ns: int) -> str:
    """Duration: "3.4 s", "12 min", "5.0 h"."""
    whole = ns / 1e9
    return f"{whole:.1f} s" if whole < 60 else f"{whole / 60:.0f} min" if whole < 5400 else f"{whole / 3600:.1f} h"


def rate(per_s: float | None) -> str:
    """Rate a second."""
    return "-" if per_s is None else f"{per_s:.1f}" if per_s < 100 else f"{per_s:.0f}"


def octets(per_s: float | None) -> str:
    """Rate of bytes."""
    if per_s is None:
        return "-"
    return f"{per_s:.0f} B" if per_s < 1024 else f"{per_s / 1024:.1f} KiB" if per_s < 1 << 20 else f"{per_s / (1 << 20):.1f} MiB"


def joined(texts: Sequence[str]) -> str:
    """Several figures in one cell."""
    return " / ".join(texts)


def in_table(found: Sequence[FeedCard]) -> list[FeedCard]:
    """Cards for a table, by set and window: a set's only connection says nothing that its own card does not."""
    several = {(card.set, card.window) for card in found if card.kind == "connection" and (card.connection or 0) > 1}
    return [card for card in found if card.kind != "connection" or (card.set, card.window) in several]
