"""Check of trades lost by a dead trade stream while the book's stream is alive."""

from collections.abc import Callable

from alphapulse_cli.apps.conformance.finding import DoesNotApply, Fault
from alphapulse_cli.apps.conformance.healing import HEALED_WITHIN, MakeLine, heal, start_live
from alphapulse_cli.apps.conformance.line import Line
from alphapulse_cli.shm.counters import Counter, CountersReader

LOST = 3  # trades that the dead stream does not bring
TRADED_WITHIN = 2_000  # steps in which a symbol has so many


def dead_trades(make: MakeLine) -> str:
    """Trades that a dead stream lost arrive late or are counted as missed, once it lives again or the connection is replaced."""
    cures: dict[str, Callable[[Line], None]] = {"it came back": lambda _: None, "the connection was replaced": Line.reconnect}
    with make() as line:
        if not line.exchange.facts.trades_show_loss:
            raise DoesNotApply(f"nothing in a trade of {line.facts.name} shows that another was lost")
        start_live(line)
        for cure, do in cures.items():
            for symbol in line.symbols:
                before = _strike(line, symbol)
                do(line)
                _await(line, symbol, before, cure)
                heal(line, f"a dead stream of trades of which {cure}")
        return f"{LOST} trades and more, {len(cures)} times on each of {len(line.symbols)} symbols"


def _strike(line: Line, symbol: str) -> int:
    """Let the stream of the symbol's trades be dead until it has lost some, after it has brought some; `_lost` before that."""
    _trade(line, symbol)
    before = _lost(line, symbol)
    line.without_trades = {symbol}
    _trade(line, symbol)
    line.without_trades = set()
    return before


def _trade(line: Line, symbol: str) -> None:
    goal = line.trades_made[symbol] + LOST
    for _ in range(TRADED_WITHIN):
        line.step()
        if line.trades_made[symbol] >= goal:
            return
    raise Fault(f"the market made no {LOST} trades of {symbol} in {TRADED_WITHIN} steps")


def _await(line: Line, symbol: str, before: int, cure: str) -> None:
    for _ in range(HEALED_WITHIN):
        if _lost(line, symbol) <= before:
            return
        line.step()
    lost = _lost(line, symbol) - before
    raise Fault(f"{symbol}: {lost} trades of a dead stream were never missed, though {cure} {HEALED_WITHIN // 10} s ago")


def _lost(line: Line, symbol: str) -> int:
    """Number of the market's trades since the opening that are neither published, late perhaps, nor counted as missed.

    Less than nothing where the opening brought older ones.
    """
    counters = CountersReader(line.outlet.counters.segment).blocks()[symbol]
    missed = counters[Counter.TRADES_MISSED.label] - counters[Counter.TRADES_RECOVERED.label]
    return line.trades_made[symbol] - len(line.published_trades(symbol, history=True)) - int(missed)
