"""Opportunities to be kept: plain ones by number, any by hypothesis, and what runs in processes that keep them."""

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from alphapulse_cli.edges.opportunities import store as opportunities_module
from alphapulse_cli.edges.opportunities.record import Seen
from alphapulse_cli.edges.opportunities.store import OpportunityStore
from support.shm_processes import tell

BORN_NS = 1_700_000_000_000_000_000
MS = 1_000_000

PLAIN = Seen(
    id="00000000",
    place="/dev/shm/alphapulse-1",
    kind="pair",
    symbol="BTC-USD",
    buy="kraken",
    sell="coinbase",
    currency="USD",
    born_ns=BORN_NS,
    last_ns=BORN_NS,
    closed_ns=None,
    why="",
    is_from_start=False,
    is_unwatched=False,
    changes=0,
    size="1.5",
    net="3.25",
    bps="12.3456",
    birth_size="1",
    birth_net="2",
    birth_bps="10",
    peak_size="2",
    peak_net="4.5",
    peak_bps="13",
    peak_ns=BORN_NS,
    explanation={"asks": [["100.1", "2"]], "bids": [["101", "3"]]},
)


def seen(number=0, **more):
    """The plain one of that number: born so many ms after the first."""
    born_ns = BORN_NS + number * MS
    times = {"born_ns": born_ns, "last_ns": born_ns, "peak_ns": born_ns}
    return replace(PLAIN, **{"id": f"{number:08x}", **times, **more})


def later(one, changes=1, **more):
    """The same after some changes, as the watch tells it: without its explanation."""
    return replace(one, changes=changes, last_ns=one.born_ns + changes, explanation={}, **more)


def closed(one, life_ms=7, **more):
    """The same at its end."""
    end_ns = one.born_ns + int(life_ms * MS)
    return replace(one, closed_ns=end_ns, last_ns=end_ns, explanation={}, **{"why": "gone", **more})


MONEY = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,40})?", fullmatch=True, alphabet="-.0123456789")
INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
NAMES = st.sampled_from(["kraken", "coinbase", "binance-us"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def opportunities(**more):
    """Any that may be kept."""
    money = {name: MONEY for name in Seen.__slots__ if name.rpartition("_")[2] in {"size", "net", "bps"}}
    times = dict.fromkeys(("born_ns", "last_ns", "peak_ns", "changes"), INTEGERS)
    texts = dict.fromkeys(("id", "place", "kind", "symbol", "buy", "sell", "currency", "why"), TEXT)
    flags = dict.fromkeys(("is_from_start", "is_unwatched"), st.booleans())
    rest = {"closed_ns": st.none() | INTEGERS, "explanation": st.dictionaries(st.text(max_size=5), JSON, max_size=4)}
    return st.builds(Seen, **{**money, **times, **texts, **flags, **rest, **more})


# What runs in children


def keep_batches(path, writer, batches, size):
    """Keep so many batches, whose rows all say which batch they are of; a line for each that is committed, once told to begin."""
    tell("ready")
    sys.stdin.readline()
    with OpportunityStore(Path(path)) as store:
        for batch in range(batches):
            store.record([seen(batch * size + row, place=f"/{writer}", changes=batch) for row in range(size)])
            tell(batch)


def keep_until_killed(path, writer, size):
    """Without an end; each row grows over again with each batch."""
    with OpportunityStore(Path(path)) as store:
        batch = 0
        while True:
            store.record([seen(row, place=f"/{writer}", changes=batch) for row in range(size)])
            tell(batch)
            batch += 1


def open_store(path):
    """Open it once told to, and say how many rows there are."""
    tell("ready")
    sys.stdin.readline()
    with OpportunityStore(Path(path)) as store:
        store.record([seen(os.getpid())])
        tell(len(store.rows()))


def stop_before_linking(path):
    """Hang where the new file is whole but has no name yet."""

    def hang(*_, **__):
        tell("made")
        sys.stdin.readline()

    os.link = hang
    OpportunityStore(Path(path))


def stop_within_a_write(path, is_mutant):
    """Keep a batch; hang where the next is written but not committed. The mutant knows no transactions."""

    def hang(_):
        tell("written")
        sys.stdin.readline()

    if is_mutant:
        opportunities_module._transaction = nullcontext  # type: ignore[assignment]  # it begins nothing and commits nothing
    with OpportunityStore(Path(path)) as store:
        store.record([seen(number) for number in range(10)])
        OpportunityStore._prune = hang
        store.record([seen(number, net="7") for number in range(5, 15)])
