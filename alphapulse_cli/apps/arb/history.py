"""Statistics of the opportunities that were seen: profit by pair, and survival by age.

    the store ─► load ─► [Seen] ─► by_pair ─► [PairSummary]
                               └─► survival ─► [Survival]

The life of an opportunity is known if both its birth and its end were seen. For others only a lower bound is known, the time for
which they were seen. Where that does not decide a count, they are left out and counted as unknown. Money is summed exactly, by
currency.
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
    """Sums over the opportunities of one way to trade; money is exact decimal text."""

    kind: str
    symbol: str
    buy: str
    sell: str
    currency: str
    count: int
    open: int  # number whose end was not seen
    total_peak_net: str  # sum of the profits, each at its peak
    total_birth_net: str  # sum of the profits, each at its birth
    best_peak_net: str
    median_life_ms: float | None  # median of the known lives, in milliseconds
    longest_life_ms: float | None

    def row(self) -> Row:
        """Row by the keys of its JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survival:
    """Survival of opportunities `after_ms` milliseconds after birth: `alive` of `known`, and `unknown` others."""

    after_ms: int
    known: int
    alive: int
    unknown: int

    @property
    def share(self) -> float | None:
        """Fraction of the known opportunities that were still there; None without known ones."""
        return round(self.alive / self.known, SHARE_DIGITS) if self.known else None

    def row(self) -> Row:
        """Row by the keys of its JSON object."""
        return {**asdict(self), "share": self.share}


def load(
    path: Path,
    place: str | None = None,
    since_ns: int = 0,
    limit: int | None = None,
    symbols: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[Seen]:
    """Load opportunities from a store, the newest first, without explanations; filters as in `OpportunityStore.rows`.

    UsageError if there is no store, StorageError if it cannot be read.
    """
    with OpportunityStore(path, create=False) as store:
        return store.rows(place, since_ns, limit, symbols, names, is_explained=False)


def find(path: Path, prefix: str, place: str | None = None) -> Seen:
    """Find the opportunity whose id begins with `prefix`, or the newest for "last", with its explanation.

    UsageError for none or several, and as from `load`.
    """
    with OpportunityStore(path, create=False) as store:
        return store.find(prefix, place)


def seen_life_ns(seen: Seen) -> int:
    """Time in ns for which an opportunity was seen: from its birth or the watch's start to its end or last reported change."""
    return (seen.last_ns if seen.closed_ns is None else seen.closed_ns) - seen.born_ns


def is_life_known(seen: Seen) -> bool:
    """Whether both the birth and the end were seen, so that `seen_life_ns` is the whole life."""
    return seen.closed_ns is not None and not seen.is_from_start and not seen.is_unwatched


def rows_of(seen: Iterable[Seen]) -> list[Row]:
    """Rows for JSON: all fields but the explanation, with `life_ms` (None if unknown) and `seen_ms`, its lower bound."""
    return [_row(one) for one in seen]


def _row(seen: Seen) -> Row:
    row = {name: getattr(seen, name) for name in Seen.__slots__ if name != "explanation"}
    seen_ms = _ms(seen_life_ns(seen))
    return {**row, "life_ms": seen_ms if is_life_known(seen) else None, "seen_ms": seen_ms}


def by_pair(seen: Iterable[Seen]) -> list[PairSummary]:
    """Summarize each way to trade; sorted by currency, then by the total of peak profits, the largest first."""
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
    """Count the opportunities that were still there at each age, in milliseconds after birth.

    An opportunity whose birth and end were seen is known at every age t: it was alive if it lived for t or longer. The life of any
    other (still open, not watched at its end, or there when the watch began) is at least the time for which it was seen: it was
    alive at ages up to that time. At greater ages it is unknown, and counts neither as alive nor as gone.
    """
    lives = [(seen_life_ns(one), is_life_known(one)) for one in seen]
    made = []
    for after in after_ms:
        alive = sum(life >= after * NS_PER_MS for life, _ in lives)
        gone = sum(life < after * NS_PER_MS and is_known for life, is_known in lives)
        made.append(Survival(after, alive + gone, alive, len(lives) - alive - gone))
    return made


def exact(text: str) -> Exact:
    """Exact number of money text from the store, which may be negative."""
    whole, _, fraction = text.partition(".")
    return Exact(int(whole + fraction), len(fraction))


def _sum(texts: Iterable[str]) -> Exact:
    return sum((exact(text) for text in texts), ZERO)


def _ms(duration_ns: float) -> float:
    return round(duration_ns / NS_PER_MS, 3)
