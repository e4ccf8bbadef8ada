"""A whole book's walk: long stretches that stay, levels that come, go and change, in every order that a message can have.

The stretches are longer than what is compared at once, and the changes fall on their edges as well as within. `MUTANTS` are walks that
are wrong in one place each: the same cases must catch every one of them.
"""

import random
from collections.abc import Callable
from functools import partial

import pytest
from support.strategies_book import book_hash, to_levels

from alphapulse_cli import build
from alphapulse_cli.book import runs
from alphapulse_cli.book.book import Book
from alphapulse_cli.book.walk import Walk
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW, SIZE_MASK

SIZES = (0, 1, 2, 7, 8, 9, 16, 17, 33, 70)  # levels a side: around what is compared at once
EDITS = ("none", "sizes", "comes", "goes", "top", "bottom", "all")


def rows_of(dice, count):
    """A book of `count` levels a side, best first."""
    bids = [(10_000 - 3 * i, dice.randint(1, 5), False) for i in range(count)]
    return bids + [(10_001 + 3 * i, dice.randint(1, 5), True) for i in range(count)]


def edited(dice, rows, edit):
    """Another book, as far from the first as `edit` says."""
    made = {(ticks, is_ask): lots for ticks, lots, is_ask in rows}
    places = list(made)
    for is_ask in (False, True):
        side = [place for place in places if place[1] == is_ask]
        picked = {"top": side[:2], "bottom": side[-2:], "all": side}.get(edit) or dice.sample(side, min(len(side), 3))
        for ticks, _ in picked if edit != "none" else ():
            kind = dice.choice(("sizes", "comes", "goes")) if edit in {"top", "bottom", "all"} else edit
            if kind == "sizes":
                made[ticks, is_ask] += 1
            elif kind == "goes":
                del made[ticks, is_ask]
            else:
                made[ticks + dice.choice((-1, 1)), is_ask] = 9
    return [(ticks, lots, is_ask) for (ticks, is_ask), lots in made.items()]


def ordered(rows, order):
    """The same book as one message or another has it."""
    bids = sorted(row for row in rows if not row[2])
    asks = sorted(row for row in rows if row[2])
    if order == "by turns":
        longer, shorter = (bids, asks) if len(bids) > len(asks) else (asks, bids)
        return [row for i, one in enumerate(longer) for row in (one, *shorter[i : i + 1])]
    if order == "three runs":
        return bids[: len(bids) // 2] + asks + bids[len(bids) // 2 :]
    sides = {"best first": [bids[::-1], asks], "worst first": [bids, asks[::-1]], "asks first": [asks, bids]}[order]
    return sides[0] + sides[1]


ORDERS = ("best first", "worst first", "asks first", "by turns", "three runs")


def check(seed, count, edit, order):
    """The difference told is the exact one, and the book is the other book to the last bit."""
    dice = random.Random(seed)
    old = rows_of(dice, count)
    new = ordered(edited(dice, old, edit), order)
    book, batch = Book(2, 8), Batch("BTC-USD", "kraken", 2, 8)
    book.load(to_levels(ordered(old, order)))
    assert (book.bids() + book.asks(), book.book_hash) == ([row[:2] for row in old], book_hash(old))
    assert book.replace(to_levels(new), batch) == batch.change_count
    before, after = ({(ticks, ask): lots for ticks, lots, ask in rows} for rows in (old, new))
    expected = {
        place: after.get(place, 0) | (0 if place in before else LEVEL_IS_NEW)
        for place in before.keys() | after.keys()
        if before.get(place) != after.get(place)
    }
    assert told(batch) == expected
    assert batch.change_count == len(expected), "none is told twice"
    assert book.bids() == sorted(((ticks, lots) for ticks, lots, ask in new if not ask), reverse=True)
    assert book.asks() == sorted((ticks, lots) for ticks, lots, ask in new if ask)
    assert book.book_hash == book_hash(new)


def told(batch):
    """(ticks, is_ask) -> lots and whether it is new, as the records have it."""
    import numpy as np

    count = batch.finish(0, 1, 1, 0, 0, False)
    words = np.frombuffer(bytes(memoryview(batch.records)[: 256 * count]), np.uint64).reshape(count, 32)[:, 8:]
    pairs = words.reshape(-1, 2)[: batch.change_count].tolist()
    return {(ticks, word >= IS_ASK): word & (SIZE_MASK | LEVEL_IS_NEW) for ticks, word in pairs}


def check_all():
    """Every size, edit and order, one of each."""
    for count in SIZES:
        for edit in EDITS:
            for order in ORDERS:
                check(count, count, edit, order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("edit", EDITS)
def test_the_difference_is_exact_and_the_book_the_other(edit, order):
    """Whatever stays, comes and goes, and in whatever order it is said."""
    for count in SIZES:
        for seed in range(3):
            check(seed, count, edit, order)


@pytest.mark.parametrize("spoiled", ["size zero", "twice", "out of order"])
@pytest.mark.parametrize("place", [0, 3, 8, 20])
def test_what_must_be_arranged_first_gives_the_same(spoiled, place):
    """Nothing of the walk that failed is told."""
    rows = rows_of(random.Random(1), 30)
    said = list(rows)
    if spoiled == "size zero":
        said[place] = (said[place][0], 0, False)
    elif spoiled == "twice":
        said.insert(place, (said[place][0], 77, False))
    else:
        said[place], said[place + 1] = said[place + 1], said[place]
    meant = {(ticks, is_ask): lots for ticks, lots, is_ask in said}
    book, batch = Book(2, 8), Batch("BTC-USD", "kraken", 2, 8)
    book.load(to_levels(rows))
    changes = book.replace(to_levels(said), batch)
    assert changes == batch.change_count == (1 if spoiled == "size zero" else 0)
    assert book.book_hash == book_hash([(ticks, lots, is_ask) for (ticks, is_ask), lots in meant.items() if lots])


# Walks that are wrong in one place


def runs_without_sizes(monkeypatch):
    real = runs.alike

    def alike(ours, at, step, theirs, i, side_bit, most):
        found = real(ours, at, step, theirs, i, side_bit, most)
        while found < most and ours[at + found * step] == theirs[i + 2 * found]:
            found += 1
        return found

    monkeypatch.setattr(runs, "alike", alike)


def runs_one_too_long(monkeypatch):
    real = runs.alike
    monkeypatch.setattr(runs, "alike", lambda *args: min(real(*args) + 1, max(args[-1], 0)))


def settle(monkeypatch, by):
    real = Walk.take

    def take(self, levels, is_hashed):
        self._settled = max(0, min(self._settled + by, self.incoming))
        real(self, levels, is_hashed)

    monkeypatch.setattr(Walk, "take", take)


def nothing_is_unsettled_by_what_comes(monkeypatch):
    real = Walk._record

    def tell(self, batch, at, ticks, old, lots):
        settled = self._settled
        real(self, batch, at, ticks, old, lots)
        if not old:
            self._settled = settled

    monkeypatch.setattr(Walk, "_record", tell)


def what_is_left_stays(monkeypatch):
    monkeypatch.setattr(Walk, "finish", lambda self, batch: None)


def runs_are_one(monkeypatch):
    real = Walk.take

    def take(self, levels, is_hashed):
        self._runs = 1
        real(self, levels, is_hashed)

    monkeypatch.setattr(Walk, "take", take)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "sizes are not compared": runs_without_sizes,
    "a run is one too long": runs_one_too_long,
    "one too many is settled": partial(settle, by=1),
    "a new level settles": nothing_is_unsettled_by_what_comes,
    "what is left stays": what_is_left_stays,
    "all runs are one": runs_are_one,
}


@pytest.mark.skipif(build.core_mode() == "compiled", reason="compiled methods cannot be patched; the interpreted run breaks them")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_walk_that_is_wrong_somewhere_is_caught(name, monkeypatch):
    """The cases above would fail."""
    MUTANTS[name](monkeypatch)
    with pytest.raises((AssertionError, IndexError, ValueError)):
        check_all()
