"""Defects planted on purpose, one for each way in which a LIVE book was once wrong; the campaign must find each of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from alphapulse_cli.edges.exchange.watchdog import Watchdog
from alphapulse_cli.exchanges.binance.splice import Splice
from alphapulse_cli.exchanges.binance.spliced_book import SplicedBook
from alphapulse_cli.exchanges.bybit.decoder import Decoder as BybitDecoder
from alphapulse_cli.exchanges.sequence import OLD
from alphapulse_cli.flow.quiet import CrossedBooks, QuietBooks
from alphapulse_cli.flow.trading import TradingStatuses
from alphapulse_cli.market.events import Update, UpdateIgnored


@dataclass(frozen=True)
class Canary:
    """One defect: which kind of fault shows it, on which feeds, and what puts what in whose place."""

    name: str
    kind: str
    feeds: tuple[tuple[str, str], ...]
    patches: Callable[[], Iterator[tuple[type, str, Any]]]

    def feed(self, seed):
        return self.feeds[seed % len(self.feeds)]

    @contextmanager
    def planted(self):
        with ExitStack() as stack:
            for target, method, broken in self.patches():
                stack.enter_context(patch.object(target, method, broken))
            yield


def ignoring_what_goes_back():
    take = Splice.take

    def deaf(self, first, final, frame):
        return OLD if self.live and final < self.last else take(self, first, final, frame)

    yield Splice, "take", deaf
    yield SplicedBook, "_on_ignored", lambda self, *_: (UpdateIgnored(self.instrument),)


def trusting_pongs():
    init = Watchdog.__init__
    yield Watchdog, "__init__", lambda self, timing, _silence, opened_ns: init(self, timing, None, opened_ns)
    yield QuietBooks, "tick", lambda *_: None


def looking_at_no_quiet_book():
    yield QuietBooks, "tick", lambda *_: None


def looking_at_no_crossed_book():
    yield CrossedBooks, "tick", lambda *_: ()


def seeing_no_hole():
    """In Bybit's numbers."""

    def deaf(self, instrument, topic, numbered, levels, moment_ns):
        self._numbers[instrument.native].last = numbered[0]
        return [Update(instrument, levels, moment_ns, None, self.depth)]

    yield BybitDecoder, "_on_delta", deaf


def telling_no_halt():
    yield TradingStatuses, "on_instrument", lambda *_: None


CANARIES = (
    Canary("what goes back is ignored", "sequence-reset", (("binance-us", "diff"),), ignoring_what_goes_back),
    Canary("pongs prove the feed", "mute", (("kraken", ""), ("coinbase", "advanced")), trusting_pongs),
    Canary("no quiet book is looked at", "mute-symbol", (("kraken", ""), ("binance-us", "diff")), looking_at_no_quiet_book),
    Canary("no crossed book is looked at", "unseen-gap", (("coinbase", "exchange"),), looking_at_no_crossed_book),
    Canary("no hole in the numbers is seen", "gap", (("bybit", ""),), seeing_no_hole),
    Canary("no halted market is told", "halted", (("kraken", ""), ("coinbase", "advanced")), telling_no_halt),
)
