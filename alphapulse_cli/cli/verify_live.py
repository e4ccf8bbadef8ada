"""`alphapulse verify live`: certificates of running sets, in words or as JSON."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import ExitCode

if TYPE_CHECKING:
    from alphapulse_cli.apps.verify.live import LiveBook, LiveCertificate

LIVE = "live"  # the word in the place of captures
USUAL_S = 10.0


def run(exchanges: list[str] | None, symbols: list[str] | None, shm_dir: str | None, duration: float | None, form: str) -> ExitCode:
    """Prove what runs, print the certificate in this form, and return the exit code."""
    from alphapulse_cli.apps.verify.live import NOT_SEEN, verify_live
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.shm.directory import open_directory

    settings = options.settings()
    with open_directory(settings.choose("shm_dir", shm_dir) or None) as directory:
        wanted = Wanted.of(exchanges, symbols)
        made = verify_live(directory, wanted, USUAL_S if duration is None else duration, settings.get("wait"), stderr.note)
    if form == "json":
        print(made.to_json().decode(), end="", flush=True)
    else:
        out = render.console(sys.stdout)
        for line in (*lines(made), NOT_SEEN):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    for name in made.left_out:
        stderr.note(f"{name}: left out, no collector keeps it now")
    clean = sum(book.holds and not book.is_verified for book in made.books)
    if clean:
        stderr.note(f"{clean} of {len(made.books)} books are not proved; a longer --duration may help")
    if not made.holds:
        broken = [f"{one.proof.set_name}:{one.proof.symbol} {problem}" for one in made.books for problem in one.problems]
        stderr.error("something does not hold: " + ", ".join(broken))
    return ExitCode.DONE if made.holds else ExitCode.INTEGRITY


def lines(made: "LiveCertificate") -> Iterator[str]:
    """Lines of a certificate in words: a set, then its books."""
    from alphapulse_cli.edges.safe_text import safe

    names = dict.fromkeys((book.proof.set_name, book.proof.exchange) for book in made.books)
    for name, exchange in names:
        yield f"{name}: {exchange}, live, {made.duration_ns / 1e9:.1f} s"
        for book in made.books:
            if book.proof.set_name == name:
                yield safe(f"  {_of_book(book)}")


def _of_book(book: "LiveBook") -> str:
    from alphapulse_cli.apps.verify.live import AGREES, NOT_COMPARED

    proof, rest = book.proof, book.rest
    bad = f", {proof.checks_bad} bad" if proof.checks_bad else ""
    why = f": {book.why}" if book.why else ""
    told = {AGREES: f"REST book agrees on {rest.levels} levels", NOT_COMPARED: f"no REST book compared: {rest.why}"}
    parts = [f"{proof.checks_ok} CHECKs ok{bad}", f"image {proof.image}", told.get(rest.verdict, "REST book contradicts")]
    return f"{proof.symbol:<12} {book.verdict.upper()}{why}  {', '.join(parts)}"
