"""Certificates of recordings of real exchanges: those in tests/recordings/certificates, derived again from the recordings that are here.

    python -P tests/apps/verify/test_recorded_certificates.py      writes them anew, where what they say has changed on purpose

Files are left out of them: their compressed bytes are those of a version of zstd.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))

from support.recorded import SLICES, recorded_file, recorded_folder  # noqa: E402 - found beside this file when it is a program

import alphapulse_cli as ap  # noqa: E402
from alphapulse_cli.apps.capture import imports  # noqa: E402
from alphapulse_cli.apps.verify.certificate import read_certificate  # noqa: E402
from alphapulse_cli.edges.capture import foreign  # noqa: E402

CERTIFICATES = SLICES / "certificates"
RECORDED = {  # files, by the name of their certificate
    "kraken-slice": ("kraken-v1-book.txt", "kraken-pairs.txt"),
    "kraken": ("KRAKEN.ws.50.0", "KRAKEN.0"),
    "coinbase-slice": ("coinbase-exchange.txt", "coinbase-products.txt"),
    "coinbase": ("COINBASE.ws.28.0", "COINBASE.0"),
    "binance-us-slice": ("binance-us-diffs.txt", "binance-us-snapshot.txt", "binance-us-symbols.txt"),
    "binance-us": ("BINANCE_US.ws.1.0", "BINANCE_US.http.0.0", "BINANCE_US.0"),
    "okx-slice": ("okx-books.txt", "okx-instruments.txt"),
    "okx": ("OKX.ws.1.0", "OKX.0"),
    "bitfinex-slice": ("bitfinex-book.txt", "bitfinex-pairs.txt"),
    "bitfinex": ("BITFINEX.ws.11.0", "BITFINEX.0"),
    "bybit-slice": ("bybit-book.txt",),
    "bybit": ("BYBIT.v5.orderbook.500.XRPUSDT",),
}
PROVED = {
    "kraken": "verified",
    "coinbase": "clean",
    "binance-us": "verified",
    "okx": "verified",
    "bitfinex": "verified",
    "bybit": "verified",
}


def derived(name, paths, folder):
    """Certificate of a recording that was imported, without its files."""
    reader = foreign.ndjson("ts", "ms") if name == "bybit" else foreign.cryptofeed
    imports.run(imports.ImportPlan("ndjson" if name == "bybit" else "cryptofeed", reader, paths, folder))
    certificate = ap.verify(folder)
    return replace(certificate, sets=tuple(replace(one, files=()) for one in certificate.sets))


@pytest.mark.parametrize("name", RECORDED)
def test_the_certificate_of_a_recording_is_the_expected_one(name, tmp_path):
    certificate = derived(name, [recorded_file(each) for each in RECORDED[name]], tmp_path / "made")
    expected = (CERTIFICATES / f"{name}.json").read_bytes()
    assert certificate.to_json().decode() == expected.decode()


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_committed_says_what_is_known_of_the_recordings(name):
    """All of them are whole, as the models of tests/apps/capture/test_imports.py find them, too.

    The slice of Kraken has the frames of one book alone: without its heartbeats it ends in a silence.
    """
    certificate = read_certificate((CERTIFICATES / f"{name}.json").read_bytes())
    [one] = certificate.sets
    assert [book.problems for book in one.books if book.problems] == ([("silent-at-end",)] if name == "kraken-slice" else [])
    assert (one.gaps, one.problems, one.counts["checksums_bad"], one.counts["decode_errors"]) == ((), (), 0, 0)
    assert {book.verdict for book in one.books} == {"broken" if name == "kraken-slice" else PROVED[one.exchange]}
    assert all(sum(book.time.values()) == book.whole_ns for book in one.books)


def main():
    CERTIFICATES.mkdir(exist_ok=True)
    for name, files in RECORDED.items():
        paths = [SLICES / each if (SLICES / each).is_file() else recorded_folder() / each for each in files]
        if all(path.is_file() for path in paths):
            with tempfile.TemporaryDirectory() as place:
                (CERTIFICATES / f"{name}.json").write_bytes(derived(name, paths, Path(place) / "made").to_json())


if __name__ == "__main__":
    main()
