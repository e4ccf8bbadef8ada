"""Certificates of captures made under chaos (`scripts/verify_campaign.py`), bounded; and certificates spoilt on purpose, each of which is found."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from chaos.certificates import KINDS, kinds_of, run_seed
from support.campaigns import size
from support.feeds import FEEDS

SEEDS = range(size(3 * len(FEEDS), 1000))
PARTS = 4
result_of = cache(run_seed)  # two tests look at the same ones
STRUCK_BY_A_GAP = 5  # seed of okx-books with gaps, as the campaign draws them


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_injected_is_what_the_certificate_says(part):
    results = [result_of(seed) for seed in SEEDS[part::PARTS]]
    assert [str(result) for result in results if result.wrong] == []
    assert all(result.struck for result in results)


def test_every_kind_strikes_in_the_seeds_of_the_suite():
    """Some seeds of each feed; a kind that never strikes would compare nothing."""
    struck: Counter[str] = Counter()
    for seed in range(2 * len(FEEDS)):
        struck += result_of(seed).struck
    assert set(struck) == set(KINDS) == {kind for feed in FEEDS for kind in kinds_of(feed)}


SPOILT = {
    "a gap left out": (lambda one: replace(one, gaps=one.gaps[1:]), "gaps in place of"),
    "a gap too many": (
        lambda one: replace(one, gaps=(*one.gaps, replace(one.gaps[0], id="x", time_ns=one.from_ns, healed_ns=one.to_ns))),
        "without a loss",
    ),
    "a gap of another book": (lambda one: replace(one, gaps=tuple(replace(gap, symbol="XYZ-USD") for gap in one.gaps)), "gap of"),
    "a gap that never healed": (
        lambda one: replace(one, gaps=tuple(replace(gap, healed_ns=None) for gap in one.gaps)),
        "a gap that was healed is not",
    ),
    "a counter one too high": (lambda one: replace(one, counts={**one.counts, "gaps": one.counts["gaps"] + 1}), "gaps: "),
    "a duplicate not seen": (lambda one: replace(one, duplicates=0), "duplicate: 0"),
    "a nanosecond counted twice": (
        lambda one: replace(one, books=tuple(replace(book, time={**book.time, "valid": book.valid_ns + 1}) for book in one.books)),
        "do not add up",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_certificate_that_is_wrong_is_found(name):
    spoil, told = SPOILT[name]
    result = run_seed(STRUCK_BY_A_GAP, spoil=spoil)
    assert result.struck["gap"]
    assert result.struck["duplicate"]
    assert told in str(result)
