"""Certificates: what each fault of a recording changes in them, exact times, the same bytes wherever they are made, and their JSON."""

import os
import zlib
from dataclasses import replace
from itertools import pairwise, zip_longest

import orjson
import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import HEAD, T0, done, opened, shut, write

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.verify import verify
from alphapulse_cli.apps.verify.audit import LABELS
from alphapulse_cli.apps.verify.certificate import VERSION, Certificate, read_certificate
from alphapulse_cli.apps.verify.requirements import parse_requirements, unmet
from alphapulse_cli.apps.verify.suspects import BookTime, Suspect
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.edges.capture.files import capture_files, index_path
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import AlphapulseError, NoSegment, UsageError

COUNT = 120
BY_CASE = {feed.case: feed for feed in FEEDS}
SECOND = 1_000_000_000


def made(folder, case, change=lambda rows, place: rows, **how):
    """Certificate of the one set of a tape whose rows were changed at the place of a received frame near the end."""
    head, rows, _ = tape_rows(BY_CASE[case], COUNT)
    place = [number for number, row in enumerate(rows) if row.kind == b"recv"][-20]
    write_rows(folder, head, change(list(rows), place), **how)
    [one] = ap.verify(folder).sets
    return one


def dropped(rows, place):
    return [*rows[:place], *rows[place + 1 :]]


def doubled(rows, place):
    return [*rows[:place], rows[place], *rows[place:]]


def swapped(rows, place):
    """Rows whose frames have changed places, their times have not."""
    first, second = rows[place], rows[place + 1]
    rows[place], rows[place + 1] = first._replace(payload=second.payload), second._replace(payload=first.payload)
    return rows


def core(one):
    """What of a certificate depends neither on its files nor on the number of rows."""
    return replace(one, files=(), rows=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return {case: made(tmp_path_factory.mktemp("whole"), case) for case in BY_CASE}


class TestAWholeRecording:
    @pytest.mark.parametrize("case", sorted(BY_CASE))
    def test_is_proved_where_the_exchange_gives_a_proof(self, whole, case):
        one = whole[case]
        [book] = one.books
        assert one.holds
        assert (one.gaps, one.damages, one.problems, one.duplicates, one.clock_steps) == ((), (), (), 0, 0)
        assert book.verdict == ("clean" if not one.proofs else "verified")
        assert bool(one.proofs) != any(spot.code == "no-sequence" for spot in one.blind_spots)
        assert (book.valid_ns + book.crossed_ns, book.stale_ns) == (book.whole_ns, 0)
        assert book.whole_ns > 0

    def test_a_checksum_of_ten_levels_proves_no_deeper_ones(self, tmp_path):
        """The same frames, of a subscription that a thousand levels were asked for."""
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        write_rows(tmp_path, head, rows)
        assert ap.verify(tmp_path).sets[0].books[0].verified_levels is None, "depth 10: the checksum covers all"
        from collections import Counter as Counts

        from alphapulse_cli import exchanges
        from alphapulse_cli.apps.verify.audit import _proof

        mode = exchanges.get("kraken").facts.mode("v2")
        assert _proof(mode, Counts(checksums_ok=3), 1000, is_numbered=True) == ("checksum", 10)
        assert _proof(mode, Counts(checksums_ok=3), 10, is_numbered=True) == ("checksum", None)
        assert _proof(mode, Counts(book_updates=3), 10, is_numbered=True) == ("", None), "none was sent"
        okx = exchanges.get("okx").facts.mode("books")
        assert _proof(okx, Counts(book_updates=3), 400, is_numbered=True) == ("sequence", None)
        assert _proof(okx, Counts(book_updates=3), 400, is_numbered=False) == ("", None), "before 2023 it had no numbers"
        assert _proof(okx, Counts(book_updates=3, checksums_ok=3), 400, is_numbered=False) == ("checksum", 25)

    @pytest.mark.parametrize("case", ["kraken", "binance-us"])
    def test_is_the_same_however_it_was_cut_into_files_and_blocks(self, whole, case, tmp_path):
        one = made(tmp_path, case, block_rows=7, rotation=Rotation(most_bytes=2_000))
        assert len(one.files) > 1
        again = replace(core(one), rows=0)
        assert again == core(whole[case])

    def test_is_the_same_by_any_number_of_processes(self, tmp_path):
        for case in ("kraken", "okx", "bybit"):
            head, rows, _ = tape_rows(BY_CASE[case], COUNT)
            write_rows(tmp_path, head, rows)
        assert ap.verify(tmp_path, jobs=3).to_json() == ap.verify(tmp_path).to_json()

    def test_its_books_have_the_hash_of_their_levels(self, whole):
        """The text of the hash is made anew from the market's own book."""
        import hashlib

        _, _, market = tape_rows(BY_CASE["okx"], COUNT)
        [book] = whole["okx"].books
        instrument = market.instruments[book.symbol]
        sides = []
        for minus, levels in zip(("", "-"), market.book(book.symbol, 400), strict=True):
            decimals = instrument.price_decimals, instrument.size_decimals
            words = [
                [
                    f"{number / 10**digits:.{digits}f}".rstrip("0").rstrip(".")
                    for number, digits in zip(level, decimals, strict=True)
                ]
                for level in levels
            ]
            sides.append([f"{price}:{minus}{size}" for price, size in words])
        assert len(sides[0]) == len(sides[1])
        text = ":".join(":".join(pair) for pair in zip(*sides, strict=True))
        assert book.final.sha256 == hashlib.sha256(text.encode()).hexdigest()


class TestAFault:
    """The table of docs/reference/certificates.md, a row a test."""

    @pytest.mark.parametrize("case", ["kraken", "binance-us", "okx", "bybit", "bitfinex", "coinbase"])
    def test_a_dropped_frame_is_a_gap_from_the_message_before_it_on(self, whole, case, tmp_path):
        one = made(tmp_path, case, dropped)
        [book], gap = one.books, one.gaps[0]
        assert gap.kind == ("checksum" if case == "kraken" else "sequence")
        assert one.counts["frames"] == whole[case].counts["frames"] - 1
        assert (book.verdict, book.problems, one.holds) == ("broken", ("not-healed",), False)
        assert [(span.from_ns, span.flags) for span in book.suspects][-1] == (
            gap.since_ns,
            Suspect.CHECKSUM if case == "kraken" else Suspect.SEQUENCE,
        )
        assert book.valid_ns + book.crossed_ns < book.whole_ns

    def test_a_dropped_frame_of_a_feed_without_proof_is_seen_in_the_final_hash_alone(self, whole, tmp_path):
        case = "coinbase, Exchange feed"
        one = made(tmp_path, case, dropped)
        assert (one.gaps, one.holds, one.books[0].verdict) == ((), True, "clean")
        assert one.books[0].final.sha256 != whole[case].books[0].final.sha256

    @pytest.mark.parametrize("case", ["kraken", "binance-us", "bybit", "coinbase, Exchange feed"])
    def test_a_doubled_frame_is_a_duplicate_and_harms_no_book(self, whole, case, tmp_path):
        one = made(tmp_path, case, doubled)
        assert (one.duplicates, one.counts["frames"]) == (1, whole[case].counts["frames"] + 1)
        assert (one.gaps, one.holds) == ((), True)
        assert one.books[0].final == whole[case].books[0].final

    @pytest.mark.parametrize(
        ("case", "kind"), [("coinbase", "sequence_reset"), ("bitfinex", "sequence_reset"), ("okx", "sequence")]
    )
    def test_a_doubled_frame_breaks_numbers_that_never_repeat(self, case, kind, tmp_path):
        one = made(tmp_path, case, doubled)
        assert (one.duplicates, one.gaps[0].kind, one.holds) == (1, kind, False)

    @pytest.mark.parametrize("case", ["kraken", "binance-us", "okx", "bybit", "coinbase", "bitfinex"])
    def test_swapped_frames_are_a_gap(self, case, tmp_path):
        one = made(tmp_path, case, swapped)
        assert one.gaps
        assert one.clock_steps == 0

    def test_a_row_of_an_earlier_time_is_a_step_of_the_clock(self, whole, tmp_path):
        def back(rows, place):
            rows[place] = rows[place]._replace(time_ns=rows[place - 1].time_ns - 5)
            return rows

        one = made(tmp_path, "kraken", back)
        assert (one.clock_steps, one.clock_step_ns, one.holds) == (1, 5, True)
        assert one.books[0].final == whole["kraken"].books[0].final

    def test_an_unknown_message_is_counted(self, tmp_path):
        def strange(rows, place):
            return doubled([*rows[:place], rows[place]._replace(payload=b'{"channel":"mystery"}'), *rows[place:]], place + 1)

        one = made(tmp_path, "kraken", strange)
        assert (one.counts["unrecognised"], one.duplicates, one.holds) == (1, 1, True)

    @pytest.mark.parametrize("is_last", [False, True])
    @pytest.mark.parametrize("has_index", [True, False])
    def test_a_flipped_bit_is_damage_and_the_hash_is_another(self, whole, tmp_path, is_last, has_index):
        made(tmp_path, "kraken")
        [path] = capture_files([tmp_path])
        with CaptureFile(path) as file:
            entries = file.entries()
        entry = entries[-1] if is_last else entries[len(entries) // 2]
        data = bytearray(path.read_bytes())
        data[entry.offset + entry.compressed_bytes // 2] ^= 4
        path.write_bytes(data)
        if not has_index:
            index_path(path).unlink()
        [one] = ap.verify(tmp_path).sets
        assert one.files[0].sha256 != whole["kraken"].files[0].sha256
        [damage] = one.damages
        assert f"{entry.compressed_bytes} bytes" in damage.what
        assert damage.is_end == (is_last and not has_index), "without an index it may be a writer's that was killed"
        assert one.holds == damage.is_end
        assert one.problems == (() if damage.is_end else ("damaged",))
        if not is_last:
            assert one.gaps[0].kind == "not_captured"
            assert one.counts["gaps"] == 0, "its collector counted none"

    def test_a_missing_file_of_a_run_is_told(self, tmp_path):
        one = made(tmp_path, "kraken", block_rows=7, rotation=Rotation(most_bytes=2_000))
        paths = capture_files([tmp_path])
        paths[1].unlink()
        [one] = ap.verify(tmp_path).sets
        assert one.problems == ("file-missing",)
        assert [(each.name, each.what) for each in one.damages] == [(paths[0].name, "1 file is missing behind it")]

    def test_a_head_that_cannot_be_read_is_refused(self, tmp_path):
        made(tmp_path, "kraken")
        [path] = capture_files([tmp_path])
        path.write_bytes(b"\0" * 40 + path.read_bytes()[40:])
        with pytest.raises(UsageError, match="its beginning is lost"):
            ap.verify(tmp_path)


class TestTimes:
    def test_every_nanosecond_is_counted_once(self, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["binance-us"], COUNT)
        cut_ns = rows[-1].time_ns + 1
        begin = next(number for number, row in enumerate(rows) if row.kind == b"open")
        later = [row._replace(time_ns=row.time_ns - rows[begin].time_ns + cut_ns + 7 * SECOND) for row in rows[begin:]]
        last = done(0)._replace(time_ns=later[-1].time_ns)
        write_rows(tmp_path, head, [*rows, shut(0)._replace(time_ns=cut_ns), *later, last])
        [one] = ap.verify(tmp_path).sets
        [book], [gap] = one.books, one.gaps
        assert book.from_ns
        assert gap.healed_ns
        assert sum(book.time.values()) == book.whole_ns == book.to_ns - book.from_ns
        away = next(span for span in book.suspects if span.flags & Suspect.DISCONNECTED)
        assert (away.from_ns, away.to_ns) == (rows[-1].time_ns, gap.healed_ns), "from the last frame to the next snapshot"
        assert book.stale_ns == book.time["disconnected"] == gap.healed_ns - rows[-1].time_ns
        assert (one.counts["reconnects"], one.holds) == (1, True)

    def test_silence_is_no_validity(self, tmp_path):
        """A feed that promised heartbeats, silent for a while by the session's own judgement: downtime since its last frame."""
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        last_ns = rows[-1].time_ns
        marks = [
            shut(0)._replace(kind=b"mark", time_ns=last_ns + at * SECOND, payload=orjson.dumps({"verdict": verdict}))
            for at, verdict in ((3, "silent"), (9, "heard"))
        ]
        write_rows(tmp_path, head, [*rows, *marks, done(0)._replace(time_ns=last_ns + 10 * SECOND)])
        [book] = ap.verify(tmp_path).sets[0].books
        assert [(span.from_ns, span.to_ns) for span in book.suspects if span.flags is Suspect.SILENT] == [
            (last_ns, last_ns + 9 * SECOND)
        ]
        assert book.stale_ns == 9 * SECOND

    def test_what_comes_later_replaces_what_was_thought(self):
        time = BookTime(100, Suspect(0))
        time.mark(Suspect.CROSSED, 120)
        time.mark(Suspect(0), 130)
        time.settle(125)
        time.mark(Suspect.SEQUENCE, 110)
        assert list(time.spans(200)) == [(100, 120, 0), (120, 200, Suspect.SEQUENCE)], "not before what was settled"
        time = BookTime(100, Suspect.COLD)
        time.mark(Suspect(0), 100)
        time.mark(Suspect.CROSSED, 150)
        time.mark(Suspect.SILENT, 90)
        assert list(time.spans(160)) == [(100, 160, Suspect.SILENT)]

    def test_a_book_that_never_came(self, tmp_path):
        write(tmp_path, [opened(0), done(2_000)])
        [one] = ap.verify(tmp_path).sets
        [book] = one.books
        assert (book.problems, book.from_ns, book.whole_ns, one.holds) == (("never-live",), None, 0, False)
        assert [(span.flags, span.to_ns - span.from_ns) for span in book.suspects] == [(Suspect.COLD, 2 * SECOND)]

    def test_a_book_for_which_no_connection_was_opened(self, tmp_path):
        """A collector that never reached the exchange proves nothing: no requirement of valid time holds."""
        write(tmp_path, [done(2_000)])
        certificate = ap.verify(tmp_path)
        [book] = certificate.sets[0].books
        assert (book.symbol, book.problems, book.from_ns, certificate.holds) == ("BTC-USD", ("never-connected",), None, False)
        assert [line.partition(":")[0] for line in unmet(certificate, parse_requirements(["valid:1,gaps:0"]))] == ["valid"]
        assert read_certificate(certificate.to_json()) == certificate


class TestJson:
    def test_is_read_back_as_it_was(self, whole):
        certificate = Certificate(tuple(whole.values()))
        assert read_certificate(certificate.to_json()) == certificate

    def test_of_one_with_gaps_too(self, tmp_path):
        certificate = Certificate((made(tmp_path, "okx", dropped),))
        assert read_certificate(certificate.to_json()) == certificate
        said = orjson.loads(certificate.to_json())
        assert said["schema"] == "alphapulse.certificate"
        assert (said["version"], said["holds"]) == (VERSION, False)
        gap = said["sets"][0]["gaps"][0]
        assert gap["time"].endswith("Z")
        assert len(gap["time"]) == len("2026-11-27T10:55:37.123456789Z")
        assert isinstance(said["sets"][0]["books"][0]["final"]["book_hash"], str), "a number of 64 bits"

    def test_has_nothing_of_its_place(self, tmp_path):
        certificates = []
        for name in ("here", "there and elsewhere"):
            made(tmp_path / name, "kraken")
            certificates.append(ap.verify(tmp_path / name).to_json())
        assert certificates[0] == certificates[1]
        assert str(tmp_path).encode() not in certificates[0]

    def test_members_that_are_not_known_are_skipped(self, whole):
        certificate = Certificate((whole["kraken"],))
        said = orjson.loads(certificate.to_json())
        said["new"] = said["sets"][0]["new"] = said["sets"][0]["books"][0]["final"]["new"] = {"x": [1]}
        assert read_certificate(orjson.dumps(said)) == certificate

    @pytest.mark.parametrize(
        "change",
        [
            {"schema": "other"},
            {"version": VERSION + 1},
            {"version": "1"},
            {"version": True},
            {"sets": None},
            {"sets": [{}]},
            {"sets": [3]},
        ],
    )
    def test_what_cannot_be_right_is_refused(self, whole, change):
        said = orjson.loads(Certificate((whole["kraken"],)).to_json()) | change
        with pytest.raises(UsageError) as told:
            read_certificate(orjson.dumps(said))
        assert told.value.hint

    @pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff"])
    def test_what_is_no_certificate_is_refused(self, data):
        with pytest.raises(UsageError, match="not a certificate"):
            read_certificate(data)

    def test_a_member_of_another_type_is_refused(self, whole):
        said = orjson.loads(Certificate((whole["kraken"],)).to_json())
        said["sets"][0]["rows"] = "12"
        with pytest.raises(UsageError, match="rows is no int"):
            read_certificate(orjson.dumps(said))


class TestProcesses:
    def captures(self, folder):
        for case in ("kraken", "okx"):
            head, rows, _ = tape_rows(BY_CASE[case], COUNT)
            write_rows(folder, head, rows)
        return verify.chosen([folder])

    def test_an_error_of_one_is_that_of_all(self, tmp_path):
        """A file that is gone when its turn comes."""
        wanted = self.captures(tmp_path)
        wanted[1][0].files[0].unlink()
        for jobs in (1, 2):
            with pytest.raises(UsageError, match="cannot read"):
                verify.certify(wanted, jobs)

    def test_one_that_is_killed_is_told(self, tmp_path, monkeypatch):
        wanted = self.captures(tmp_path)
        monkeypatch.setattr(verify, "_end_silently", os._exit)  # with the argument that is missing: the process fails at once
        with pytest.raises(AlphapulseError, match="a process of verify was ended"):
            verify.certify(wanted, 2)


class TestChoice:
    def test_of_symbols_and_exchanges(self, tmp_path):
        for case in ("kraken", "okx"):
            head, rows, _ = tape_rows(BY_CASE[case], COUNT)
            write_rows(tmp_path, head, rows)
        [symbol] = {book.symbol for book in ap.verify(tmp_path, exchanges=["kraken"]).sets[0].books}
        assert [one.exchange for one in ap.verify(tmp_path, exchanges=["okx"]).sets] == ["okx"]
        assert [one.exchange for one in ap.verify(tmp_path, symbols=[f"kraken:{symbol}"]).sets] == ["kraken"]
        with pytest.raises(NoSegment):
            ap.verify(tmp_path, symbols=["XYZ-USD"])
        with pytest.raises(UsageError):
            ap.verify(tmp_path, symbols="BTC-USD")
        with pytest.raises(UsageError):
            ap.verify([], jobs=1)
        with pytest.raises(UsageError):
            ap.verify(tmp_path, jobs=0)

    def test_a_symbol_left_out_is_nowhere(self, tmp_path):
        from support.small_captures import BTC, ETH, HEAD, frame

        rows = [opened(0, symbols=("BTC/USD", "ETH/USD")), frame(1, b'{"channel":"heartbeat"}'), done(10)]
        write(tmp_path, rows, replace(HEAD, instruments=(BTC, ETH)))
        [one] = ap.verify(tmp_path, symbols=["ETH-USD"]).sets
        assert (one.symbols, [book.symbol for book in one.books]) == (("ETH-USD",), ["ETH-USD"])


class TestAProofOfPartOfARecording:
    """The weakest run decides: a later one proves nothing of an earlier one, nor the other way about."""

    @staticmethod
    def later(folder, head, rows):
        """Write the rows as a run an hour later."""
        hour = 3600 * SECOND
        write_rows(folder, replace(head, run_ns=head.run_ns + hour), [row._replace(time_ns=row.time_ns + hour) for row in rows])

    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_run_of_a_feed_without_proof_is_not_verified_by_another_run(self, tmp_path, is_first):
        bare, bare_rows, _ = tape_rows(BY_CASE["coinbase, Exchange feed"], 30)
        numbered, rows, _ = tape_rows(BY_CASE["coinbase"], 30)
        numbered = replace(numbered, set_name=bare.set_name)
        runs = [(bare, bare_rows), (numbered, rows)] if is_first else [(numbered, rows), (bare, bare_rows)]
        write_rows(tmp_path, *runs[0])
        self.later(tmp_path, *runs[1])
        [one] = ap.verify(tmp_path).sets
        assert (one.runs, one.proofs, one.books[0].verdict) == (2, (), "clean")
        assert "no-sequence" in {spot.code for spot in one.blind_spots}

    @pytest.mark.parametrize("deep_first", [True, False])
    def test_a_run_of_deep_books_is_proved_to_its_checksum(self, tmp_path, deep_first):
        head, rows, _ = tape_rows(BY_CASE["kraken"], 0)
        rows = to_its_snapshot(rows)  # of ten levels, which a deeper book may hold too
        deep = replace(head, depth=1000)
        write_rows(tmp_path, deep if deep_first else head, rows)
        self.later(tmp_path, head if deep_first else deep, rows)
        [one] = ap.verify(tmp_path).sets
        assert (one.books[0].verdict, one.books[0].verified_levels) == ("verified", 10)

    def test_two_runs_with_the_same_proof_are_proved_alike(self, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["kraken"], 30)
        write_rows(tmp_path, head, rows)
        self.later(tmp_path, head, rows)
        [one] = ap.verify(tmp_path).sets
        assert (one.runs, one.books[0].verdict, one.books[0].verified_levels) == (2, "verified", None)

    @pytest.mark.parametrize("is_first", [True, False])
    def test_numbers_of_one_run_prove_nothing_of_one_without(self, tmp_path, is_first):
        """OKX's older messages had checksums of 25 levels, and no numbers."""
        head, rows, _ = tape_rows(BY_CASE["okx"], 0)
        rows = to_its_snapshot(rows)
        old = [row._replace(payload=without_numbers(row.payload)) if b'"action"' in row.payload else row for row in rows]
        assert old != rows
        write_rows(tmp_path, head, old if is_first else rows)
        self.later(tmp_path, head, rows if is_first else old)
        [one] = ap.verify(tmp_path).sets
        assert (one.books[0].verdict, one.books[0].verified_levels) == ("verified", 25)

    def test_a_lost_message_that_the_next_one_overwrites_is_an_admitted_blind_spot(self, whole, tmp_path):
        """Found by taking each frame away in turn: a checksum shows what a book is, not how it came to be."""
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        places = [place for place, row in enumerate(rows) if row.kind == b"recv" and b'"type":"update","data":[{"sy' in row.payload]
        [lost] = [place for place, after in pairwise(places) if covers(rows[after].payload, rows[place].payload)][:1]
        write_rows(tmp_path, head, dropped(rows, lost))
        [one] = ap.verify(tmp_path).sets
        assert (one.gaps, one.books[0].verdict, one.books[0].final) == ((), "verified", whole["kraken"].books[0].final)
        assert "overwritten" in {spot.code for spot in one.blind_spots}

    @pytest.mark.parametrize("case", ["kraken", "okx", "bybit", "coinbase", "bitfinex"])
    def test_a_loss_before_an_unasked_snapshot_is_seen_or_admitted(self, tmp_path, case):
        head, rows, _ = tape_rows(BY_CASE[case], COUNT)
        places = [place for place, row in enumerate(rows) if row.kind == b"recv"]
        snapshot = max((rows[place] for place in places[:12]), key=lambda row: len(row.payload))
        cut = places[-20]
        write_rows(tmp_path, head, [*rows[:cut], snapshot._replace(time_ns=rows[cut].time_ns)])
        [one] = ap.verify(tmp_path).sets
        assert bool(one.gaps) != ("before-snapshot" in {spot.code for spot in one.blind_spots})


class TestARecordingThatCannotBeRight:
    @pytest.mark.parametrize("case", ["kraken", "coinbase, Exchange feed"])
    @pytest.mark.parametrize("has_index", [True, False])
    def test_a_file_that_was_cut_though_its_run_goes_on_is_damaged(self, tmp_path, case, has_index):
        """Cut between two blocks: nothing in the file itself is torn."""
        head, rows, _ = tape_rows(BY_CASE[case], COUNT)
        write_rows(tmp_path, head, rows, block_rows=10, rotation=Rotation(most_bytes=2_000))
        path = capture_files([tmp_path])[-3]
        with CaptureFile(path) as file:
            entries = file.entries()
        assert len(entries) > 2, "a head, rows, and `done`"
        with path.open("r+b") as file:
            file.truncate(entries[-2].offset)
        if not has_index:
            index_path(path).unlink()
        [one] = ap.verify(tmp_path).sets
        assert one.problems == ("damaged",)
        assert [(each.name, each.what, each.is_end) for each in one.damages] == [
            (path.name, "its end is missing, and its run goes on in the next file", False)
        ]
        assert {gap.kind for gap in one.gaps} >= {"not_captured"}
        assert one.books[0].valid_ns < one.books[0].whole_ns

    def test_a_last_file_that_was_cut_is_only_told(self, tmp_path):
        """A killed writer leaves it so."""
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        write_rows(tmp_path, head, rows, block_rows=10, rotation=Rotation(most_bytes=2_000))
        path = capture_files([tmp_path])[-1]
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 5)
        [one] = ap.verify(tmp_path).sets
        assert (one.problems, one.gaps, [each.is_end for each in one.damages]) == ((), (), [True])

    def test_numbers_and_times_beyond_any_are_told_as_the_most(self, tmp_path):
        """Rows that no writer makes: the certificate is made, and can be read back."""
        beyond = [Row(b"lost", T0, 0, b'{"rows":%d}' % rows) for rows in (10**30, 2**64 - 1, 2**53)]
        beyond += [Row(b"recv", time_ns, 1, b"{}") for time_ns in (2**63 - 1, 2**63, 10**19 - 1)]
        write(tmp_path, [opened(0), *beyond])
        certificate = ap.verify(tmp_path)
        assert certificate.sets[0].rows_lost == 2**53
        assert read_certificate(certificate.to_json()) == certificate
        assert unmet(certificate, parse_requirements(["rows_lost:0"]))

    @pytest.mark.parametrize(
        ("exchanges", "symbols", "missing"),
        [
            ((), ["BTC-USD", "NOPE-USD"], "NOPE-USD"),
            ((), ["kraken:BTC-USD", "okx:BTC-USD"], "okx:BTC-USD"),
            (["kraken", "okx"], (), "okx"),
            (["kraken"], ["NOPE-USD"], "NOPE-USD"),
        ],
    )
    def test_what_is_asked_for_and_not_there_is_told(self, tmp_path, exchanges, symbols, missing):
        """Else `--require verified:100` would hold of a book that nobody recorded."""
        head, rows, _ = tape_rows(BY_CASE["kraken"], 0)
        write_rows(tmp_path, head, rows)
        with pytest.raises(NoSegment, match=f"^no capture of {missing} there\n"):
            chosen([tmp_path], exchanges, symbols)
        [(_, there)] = chosen([tmp_path], ["kraken"], ["BTC-USD", "kraken:BTC-USD"])
        assert there == ["BTC-USD"]

    def test_a_recording_without_books_meets_no_requirement_of_books(self, tmp_path):
        write(tmp_path, [opened(0, symbols=()), done(5)], replace(HEAD, instruments=()))
        certificate = ap.verify(tmp_path)
        assert not certificate.sets[0].books
        assert len(unmet(certificate, parse_requirements(["valid:99.9", "verified:100", "gaps:0"]))) == 2


def to_its_snapshot(rows):
    """Rows up to the snapshot of the book."""
    return rows[: next(place for place, row in enumerate(rows) if b'"snapshot"' in row.payload and b'"bids"' in row.payload) + 1]


def covers(later, earlier):
    """Whether an update of Kraken sets every level again that an earlier one set."""
    [after], [before] = orjson.loads(later)["data"], orjson.loads(earlier)["data"]
    return all({one["price"] for one in before[side]} <= {one["price"] for one in after[side]} for side in ("bids", "asks"))


def without_numbers(frame):
    """Snapshot of OKX as it was before 2023: a checksum in place of the numbers."""
    message = orjson.loads(frame)
    [row] = message["data"]
    del row["seqId"], row["prevSeqId"]
    pairs = zip_longest(row["bids"][:25], row["asks"][:25], fillvalue=())
    text = ":".join(part for pair in pairs for level in pair for part in level[:2])
    crc = zlib.crc32(text.encode())
    row["checksum"] = crc - (1 << 32) if crc >> 31 else crc
    return orjson.dumps(message)


def test_counts_are_those_of_the_table(whole):
    """Each is a counter of collectors, by its label."""
    assert set(whole["kraken"].counts) == set(LABELS)
