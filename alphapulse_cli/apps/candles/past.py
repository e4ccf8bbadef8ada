"""Candles of captures: they are played in this process into rings of its own, which are read as those of a running set are.

Trades count by the exchange's time, so records are read from READ_ON_NS before the wanted time, and up to READ_ON_NS after it.
"""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from alphapulse_cli.apps.candles.markets import Markets, Rule
from alphapulse_cli.apps.candles.rings import SetCandles
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.candles import Candle
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, usual_path

READ_ON_NS = 600 * 10**9
Note = Callable[[str], None]


def of_captures(
    places: Sequence[Path], rule: Rule, exchanges: Collection[str], symbols: Collection[str], note: Note
) -> Iterator[Candle]:
    """Iterate over the candles of captures, oldest first. UsageError; NoSegment for an exchange or a symbol that they lack.

    `note` gets sentences about what cannot be read, and what no candle tells.
    """
    found = chosen(places, exchanges, symbols)
    recordings = [one for one, _ in found]
    first_ns, last_ns = min(one.first_ns for one in recordings), max(one.last_ns for one in recordings)
    require_within(rule, first_ns, last_ns, "the capture")
    wanted = Wanted(symbols=tuple((one.set_name, symbol) for one, there in found for symbol in there))
    return _play(recordings, {one.set_name: there for one, there in found}, Markets(rule, wanted), wanted, note)


def require_within(rule: Rule, first_ns: int, last_ns: int, what: str) -> None:
    """Check that the wanted time touches that of the data. UsageError."""
    begins_late = rule.first_ns is not None and rule.first_ns > last_ns
    if begins_late or (rule.to_ns is not None and rule.to_ns <= first_ns):
        raise UsageError(f"nothing of that time is in {what}", f"it is from {moment(first_ns)} to {moment(last_ns)}")


def _play(found: Sequence[Recording], only: dict[str, list[str]], markets: Markets, wanted: Wanted, note: Note) -> Iterator[Candle]:
    with contextlib.ExitStack() as opened:
        path = opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=usual_path().parent))
        directory = opened.enter_context(open_directory(str(Path(path) / "segments"), create=True))

        def player(head: Head) -> Player:
            def outlet(symbols: Sequence[str]) -> Outlet:
                return Outlet(directory, head.set_name, head.exchange, symbols, 0, clock.monotonic_ns(), replay=True)

            return Player(head, outlet, lambda *_: None, only.get(head.set_name, ()))

        rule = markets.rule
        from_ns = None if rule.first_ns is None else rule.first_ns - READ_ON_NS
        to_ns = None if rule.end_ns is None else rule.end_ns + READ_ON_NS
        playback = Playback(found, (from_ns, to_ns), lambda path, what: note(f"{path}: {what}"), player, keeps_ended=True)
        opened.callback(playback.close)
        sets: dict[str, SetCandles] = {}
        while playback.next_ns is not None:
            playback.play(MOST_TIME_NS)
            now_ns = clock.monotonic_ns()
            for each in playback.players:
                each.outlet.beat(now_ns, each.now_ns)
                name = each.head.set_name
                if name not in sets:
                    sets[name] = SetCandles(directory, name, markets, wanted, "oldest", is_running=False)
                    opened.callback(sets[name].close)
                while not sets[name].read(now_ns):
                    pass
                yield from markets.close(name, each.now_ns)
        ends = {one.set_name: one.last_ns for one in found}
        for name, reader in sets.items():
            reader.count()
            ends[name] = max(reader.now_ns, min(ends[name], to_ns or MOST_TIME_NS))
        yield from markets.finish({name: ends[name] for name in sets})
        for line in markets.untold:
            note(line)
