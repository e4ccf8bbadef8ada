"""What the opportunities that were seen say together: what each pair earned, and how long they lived.

    the store ─► load ─► [Seen] ─► by_pair ─► [PairSummary]
                               └─► survival ─► [Survival]

A life is known where its birth and its end were seen. Of all others only a lower bound is known, how long they were seen; where the rules
below cannot count them honestly, they are left out, and the row says of how many. Money is summed exactly, currency by currency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from alphapulse_cli.flow.arbitrage.exact import ZERO, Exact

NS_PER_MS = 1_000_000
AFTER_MS = (5, 50, 500)
SHARE_DIGITS = 4

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """All that was seen of one way to trade; money is exact decimal text."""

    kind: str
    symbol: str
    buy: str
    sell: str
    currency: str
    count: int
    open: int  # not known to be over
    total_peak_net: str  # of each the most it ever earned
    total_birth_net: str  # of each what it earned when it was born
    best_peak_net: str
    median_life_ms: float | None  # of the known lives
    longest_life_ms: float | None

    def row(self) -> Row:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survival:
    """Of so many it is known whether they were still there `after_ms` after their birth; of `unknown` others it is not."""

    after_ms: int
    known: int
    alive: int
    unknown: int

    @property
    def share(self) -> float | None:
        """Of the known ones; None of none."""
        return round(self.alive / self.known, SHARE_DIGITS) if self.known else None

    def row(self) -> Row:
        """For JSON."""
        return {**asdict(self), "share": self.share}


def load(
    path: Path,
    place: str | None = None,
    since_ns: int = 0,
    limit: int | None = None,
    symbols: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[Seen]:
    """What the store holds, the newest first, without explanations. UsageError where there is no store, StorageError for one that cannot be read."""
    with OpportunityStore(path, create=False) as store:
        return store.rows(place, since_ns, limit, symbols, names, is_explained=False)


def find(path: Path, prefix: str, place: str | None = None) -> Seen:
    """The one whose identifier begins so, with its explanation; "last" is the newest. UsageError for none or several, and as `load`."""
    with OpportunityStore(path, create=False) as store:
        return store.find(prefix, place)


def seen_life_ns(seen: Seen) -> int:
    """How long it was seen to live: from its birth, or the watch's, to its end or the last that was told of it."""
    return (seen.last_ns if seen.closed_ns is None else seen.closed_ns) - seen.born_ns


def is_life_known(seen: Seen) -> bool:
    """Whether that is its life: both its birth and its end were seen."""
    return seen.closed_ns is not None and not seen.is_from_start and not seen.is_unwatched


def rows_of(seen: Iterable[Seen]) -> list[Row]:
    """For JSON: the fields but the explanation; `life_ms` where it is known, and `seen_ms`, which it is at least."""
    return [_row(one) for one in seen]


def _row(seen: Seen) -> Row:
    row = {name: getattr(seen, name) for name in Seen.__slots__ if name != "explanation"}
    seen_ms = _ms(seen_life_ns(seen))
    return {**row, "life_ms": seen_ms if is_life_known(seen) else None, "seen_ms": seen_ms}


def by_pair(seen: Iterable[Seen]) -> list[PairSummary]:
    """Sums of each way to trade, currency by currency, the largest total of peaks first."""
    groups: dict[tuple[str, str, str, str, str], list[Seen]] = {}
    for one in seen:
        groups.setdefault((one.currency, one.kind, one.symbol, one.buy, one.sell), []).append(one)
    totals = {names: _sum(one.peak_net for one in group) for names, group in groups.items()}
    order = sorted(groups, key=lambda names: (names[0], -totals[names].fraction, names))
    return [_summary(groups[names], totals[names]) for names in order]


def _summary(group: Sequence[Seen], total_peak: Exact) -> PairSummary:
    first = group[0]
    lives = [seen_life_ns(one) for one in group if is_life_known(one)]
    return PairSummary(
        first.kind,
        first.symbol,
        first.buy,
        first.sell,
        first.currency,
        len(group),
        sum(one.closed_ns is None for one in group),
        total_peak.text,
        _sum(one.birth_net for one in group).text,
        max(exact(one.peak_net) for one in group).text,
        _ms(median(lives)) if lives else None,
        _ms(max(lives)) if lives else None,
    )


def survival(seen: Iterable[Seen], after_ms: Sequence[int] = AFTER_MS) -> list[Survival]:
    """How many were still there so long after their birth.

    One whose birth and end were seen is known, always: alive after t if it lived for t or longer. Of all others (still open, no longer
    watched at the end, there already when the watch began) the life is at least what was seen of it: alive after any t up to that, and
    unknown after any longer one, so that it counts neither as alive nor as gone.
    """
    lives = [(seen_life_ns(one), is_life_known(one)) for one in seen]
    made = []
    for after in after_ms:
        alive = sum(life >= after * NS_PER_MS for life, _ in lives)
        gone = sum(life < after * NS_PER_MS and is_known for life, is_known in lives)
        made.append(Survival(after, alive + gone, alive, len(lives) - alive - gone))
    return made


def exact(text: str) -> Exact:
    """The number of money text as the store holds it, below 0 too."""
    whole, _, fraction = text.partition(".")
    return Exact(int(whole + fraction), len(fraction))


def _sum(texts: Iterable[str]) -> Exact:
    return sum((exact(text) for text in texts), ZERO)


def _ms(duration_ns: float) -> float:
    return round(duration_ns / NS_PER_MS, 3)
