"""`alphapulse verify`: words at a terminal, one document for programs, requirements of pipelines, and its exit codes."""

import json
from fractions import Fraction

import pytest
from support.captures import tape_rows, write_rows

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.verify.requirements import KINDS, decimal, parse_requirements, unmet
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.errors import UsageError

BY_CASE = {feed.case: feed for feed in FEEDS}


def capture(folder, *cases, drops=False):
    """Captures of tapes, each without a frame near its end if it is to have a gap."""
    for case in cases:
        head, rows, _ = tape_rows(BY_CASE[case], 120)
        if drops:
            del rows[[number for number, row in enumerate(rows) if row.kind == b"recv"][-20]]
        write_rows(folder, head, rows)


class TestWords:
    def test_a_line_a_book_with_its_verdict(self, quick, tmp_path):
        capture(tmp_path, "kraken", "coinbase, Exchange feed")
        done = quick("verify", str(tmp_path), "--format", "table")
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
            one.set_name for one in ap.verify(tmp_path).sets
        ]
        books = [line for line in lines if line.startswith("  ")]
        assert len(books) == 2
        assert "CLEAN  valid " in books[0]
        assert "VERIFIED  valid 100 %, 0 gaps" in books[1]

    def test_gaps_with_their_numbers_and_what_does_not_hold(self, quick, tmp_path):
        capture(tmp_path, "binance-us", drops=True)
        done = quick("verify", str(tmp_path), "--format", "table")
        [one] = ap.verify(tmp_path).sets
        gap = one.gaps[0]
        assert done.code == 4
        assert f"gap {gap.id}  " in done.stdout
        assert done.stdout.endswith(f"alphapulse explain {gap.id} {tmp_path}\n")
        assert f"sequence, expected {gap.expected}, found {gap.found}, not healed" in done.stdout
        assert "BROKEN: not-healed" in done.stdout
        assert done.stderr == f"error: something does not hold: {one.set_name}:{gap.symbol} not-healed\n"

    def test_what_an_exchange_sent_reaches_no_terminal(self, quick, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["okx"], 120)
        lost = rows[-20]._replace(kind=b"lost", payload=b'{"rows":3,"reason":"\\u001b[2Jgone"}', connection=0)
        write_rows(tmp_path, head, [*rows[:-20], lost, *rows[-19:]])
        done = quick("verify", str(tmp_path), "--format", "table")
        assert "\x1b" not in done.stdout
        assert "not captured (" in done.stdout
        assert "rows lost: 3" in done.stdout


class TestJson:
    def test_is_one_document_the_same_each_time(self, quick, tmp_path):
        capture(tmp_path, "kraken", "okx", "bybit")
        done = quick("verify", str(tmp_path), "--json")
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.encode() == ap.verify(tmp_path).to_json()
        assert [one["exchange"] for one in json.loads(done.stdout)["sets"]] == ["bybit", "kraken", "okx"]
        assert quick("verify", str(tmp_path)).stdout == done.stdout, "a pipe"
        assert quick("verify", *map(str, capture_files([tmp_path])), "-j", "3").stdout == done.stdout

    def test_of_what_is_chosen(self, quick, tmp_path):
        capture(tmp_path, "kraken", "okx")
        said = json.loads(quick("verify", str(tmp_path), "--exchange", "okx").stdout)
        assert [one["exchange"] for one in said["sets"]] == ["okx"]
        symbol = said["sets"][0]["symbols"][0]
        said = json.loads(quick("verify", str(tmp_path), "--symbols", f"kraken:{symbol}").stdout)
        assert [(one["exchange"], one["symbols"]) for one in said["sets"]] == [("kraken", [symbol])]
        done = quick("verify", str(tmp_path), "--symbols", "XYZ-USD")
        assert (done.code, done.stdout) == (3, "")


class TestRequirements:
    def test_that_hold(self, quick, tmp_path):
        capture(tmp_path, "kraken")
        done = quick(
            "verify", str(tmp_path), "--require", "valid:100,gaps:0", "--require", "verified:100,checksums_bad:0,duplicates:0"
        )
        assert (done.code, done.stderr) == (0, "")

    def test_that_do_not_are_named_with_what_was_found(self, quick, tmp_path):
        capture(tmp_path, "kraken", "coinbase, Exchange feed")
        done = quick("verify", str(tmp_path), "--require", "gaps:0,verified:100")
        assert (done.code, done.stderr) == (4, "error: --require verified:100 does not hold: 50 % of all books\n")
        assert json.loads(done.stdout)["holds"], "the certificate itself knows of no requirement"

    def test_of_a_recording_with_gaps(self, tmp_path):
        capture(tmp_path, "binance-us", drops=True)
        certificate = ap.verify(tmp_path)
        [book] = certificate.sets[0].books
        share = decimal(Fraction(100 * book.valid_ns, book.whole_ns))
        assert unmet(certificate, parse_requirements(["gaps:0", "valid:100,stale:0"])) == [
            f"gaps:0 does not hold: {len(certificate.sets[0].gaps)} gaps, healed ones too",
            f"valid:100 does not hold: {share} % of the time of the worst book",
        ]
        assert unmet(certificate, parse_requirements([f"gaps:{len(certificate.sets[0].gaps)},valid:{share}"])) == []

    def test_each_is_met_by_its_own_number_and_by_none_beyond_it(self, tmp_path):
        """Of a certificate in which each is above 0."""
        from dataclasses import replace

        capture(tmp_path, "kraken", drops=True)
        certificate = ap.verify(tmp_path)
        [one] = certificate.sets
        [book] = one.books
        counts = dict.fromkeys(one.counts, 2)
        book = replace(book, crossed_ns=3_000_000_001, stale_ns=2_500_000_000, verdict="verified")
        one = replace(
            one,
            counts=counts,
            duplicates=1,
            clock_steps=2,
            rows_lost=3,
            books=(book, replace(book, symbol="XYZ-USD", verdict="clean")),
        )
        certificate = replace(certificate, sets=(one,))
        for name, kind in KINDS.items():
            found = kind.measure(certificate)
            assert found > 0, name
            exact = str(int(found)) if found.denominator == 1 else decimal(found, 9)
            beyond = Fraction(exact) + (Fraction(1, 10**6) if kind.is_least else -Fraction(1, 10**6))
            assert unmet(certificate, parse_requirements([f"{name}:{exact}"])) == [], name
            assert len(unmet(certificate, parse_requirements([f"{name}:{decimal(beyond, 6)}"]))) == 1, name

    @pytest.mark.parametrize("text", ["", "gaps", "gaps:", "gaps:-1", "gaps:1e3", "gap:0", "valid:99.9%", "gaps:0,", "gaps:NaN"])
    def test_what_is_none_is_refused(self, text):
        with pytest.raises(UsageError) as told:
            parse_requirements([text])
        assert told.value.hint

    def test_a_near_name_is_suggested(self):
        with pytest.raises(UsageError) as told:
            parse_requirements(["gap:0"])
        assert "gaps" in told.value.hint


def test_shares_are_rounded_down():
    assert decimal(Fraction(200, 3)) == "66.666666"
    assert decimal(Fraction(99_999_999_999, 1_000_000_000), 4) == "99.9999"
    assert decimal(Fraction(100)) == "100"
