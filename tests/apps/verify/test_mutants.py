"""Broken variants of what finds incidents and keeps the time of books: the same looks at two certificates find each of them."""

import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import done, shut

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.verify import audit, incidents
from alphapulse_cli.apps.verify.suspects import BookTime, Suspect

BY_CASE = {feed.case: feed for feed in FEEDS}
SECOND = 1_000_000_000


def healed(folder):
    """Certificate of a recording whose connection was lost for seven seconds; the time of the last frame before, and of the end."""
    head, rows, _ = tape_rows(BY_CASE["kraken"], 120)
    begin = next(number for number, row in enumerate(rows) if row.kind == b"open")
    last_ns = rows[-1].time_ns
    later = [row._replace(time_ns=row.time_ns - rows[begin].time_ns + last_ns + 8 * SECOND) for row in rows[begin:]]
    end = shut(0)._replace(time_ns=later[-1].time_ns + 5), done(0)._replace(time_ns=later[-1].time_ns + 9)
    write_rows(folder, head, [*rows, shut(0)._replace(time_ns=last_ns + SECOND), *later, *end])
    return ap.verify(folder).sets[0], last_ns


def lost(folder):
    """Certificate of a recording in which rows are missing."""
    head, rows, _ = tape_rows(BY_CASE["okx"], 120)
    missing = rows[-20]._replace(kind=b"lost", payload=b'{"rows":1,"reason":"a full disk"}', connection=0)
    write_rows(folder, head, [*rows[:-20], missing, *rows[-19:]])
    return ap.verify(folder).sets[0], missing.time_ns


def look(folder):
    """Everything that is promised of these two."""
    one, last_ns = healed(folder / "healed")
    assert (len(one.books), len(one.gaps)) == (1, 1)
    book, gap = one.books[0], one.gaps[0]
    spans = [(span.from_ns, span.to_ns, span.flags) for span in book.suspects if span.flags is not Suspect.COLD]
    assert (gap.kind, gap.since_ns, gap.counted) == ("disconnected", last_ns, ("resyncs",))
    assert gap.healed_ns is not None
    assert spans == [(last_ns, gap.healed_ns, Suspect.DISCONNECTED)]
    assert (sum(book.time.values()), book.stale_ns) == (book.whole_ns, gap.healed_ns - last_ns)
    assert (one.holds, one.counts["reconnects"]) == (True, 1)
    other, time_ns = lost(folder / "lost")
    first = other.gaps[0]
    assert (first.kind, first.time_ns, first.healed_ns) == ("not_captured", time_ns, None)
    assert other.counts["gaps"] == sum("gaps" in each.counted for each in other.gaps)
    assert other.books[0].suspects[-1].flags is Suspect.NOT_CAPTURED
    assert len({each.id for each in (*one.gaps, *other.gaps)}) == len(one.gaps) + len(other.gaps)


def test_the_looks_find_nothing_wrong(tmp_path):
    look(tmp_path)


def forgets_the_past(monkeypatch):
    mark = BookTime.mark
    monkeypatch.setattr(BookTime, "mark", lambda time, flags, since_ns: mark(time, flags, since_ns + SECOND if flags else since_ns))


def never_heals(monkeypatch):
    monkeypatch.setattr(incidents.Incidents, "heal", lambda *_: None)


def takes_the_end_for_a_gap(monkeypatch):
    monkeypatch.setattr(incidents.Incidents, "end_run", lambda *_: None)


def counts_what_a_replay_counts(monkeypatch):
    monkeypatch.setattr(audit.Audit, "_leave_out_what_only_a_replay_counts", lambda _: None)


def forgets_resyncs(monkeypatch):
    monkeypatch.setattr(incidents.Incidents, "count", lambda *_: None)


def loses_spans(monkeypatch):
    spans = BookTime.spans
    monkeypatch.setattr(BookTime, "spans", lambda time, end_ns: list(spans(time, end_ns))[:-1])


def calls_all_sequence(monkeypatch):
    monkeypatch.setattr(audit, "flag_of", lambda *_: Suspect.SEQUENCE)


def gives_one_id(monkeypatch):
    monkeypatch.setattr(incidents, "incident_id", lambda *_: "abcdefgh")


@pytest.mark.parametrize(
    "breaks",
    [
        forgets_the_past,
        never_heals,
        takes_the_end_for_a_gap,
        counts_what_a_replay_counts,
        forgets_resyncs,
        loses_spans,
        calls_all_sequence,
        gives_one_id,
    ],
    ids=lambda breaks: breaks.__name__,
)
def test_a_broken_variant_is_found(monkeypatch, tmp_path, breaks):
    breaks(monkeypatch)
    with pytest.raises(AssertionError):
        look(tmp_path)
