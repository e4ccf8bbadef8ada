"""`alphapulse verify`: the certificate of captures, in words or as JSON."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render, stderr, verify_live
from alphapulse_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from fractions import Fraction

    from alphapulse_cli.apps.verify.certificate import BookCertificate, Certificate, SetCertificate
    from alphapulse_cli.apps.verify.incidents import Incident

MOST_GAPS_SHOWN = 20  # of a set, in words

app = options.command_app()


def complete_requirements(incomplete: str) -> list[str]:
    """Completions of the last requirement in a list."""
    from alphapulse_cli.apps.verify.requirements import KINDS

    return options.complete_words(*(f"{name}:" for name in KINDS), several=True)(incomplete)


@app.command()
def verify(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR…|live", help="Files of captures, or folders with them; live: what runs.", show_default=False
        ),
    ],
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="NAME:NUMBER",
            autocompletion=complete_requirements,
            show_default=False,
            help="What has to hold, else exit code 4: valid:99.9,gaps:0. Repeat it, or separate with commas.",
        ),
    ] = None,
    exchange: options.Exchanges = None,
    symbols: options.Symbols = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, max=64, help="Processes; each takes a set at a time.")
    ] = 1,
    duration: options.Duration = None,
    shm_dir: options.ShmDir = None,
    form: options.FormatWithoutRows = None,
    as_json: options.Json = False,
) -> None:
    """Prove captures: every book is built again by the code that collects, and a certificate says what holds and what is missing.

    A book is `verified` where the exchange's sequence numbers or checksums prove it, `clean` where nothing was seen but nothing could
    prove it either. Gaps that healed are told, and no failure. Exit code 4 where something does not hold: damaged or missing files, a book
    that never came, was not healed, or failed its checksums to the end; and where a --require does not.

    Requirements: valid (least % of the time), verified (least % of the books), and as the most of them gaps, checksums_bad, crossed and
    stale (seconds), unreadable, unknown, off_grid, trades_missed, duplicates, clock_steps, rows_lost.

    `verify live` proves running sets, without their frames: for --duration (default 10s) each replica against the writer's CHECKs and its
    image, and against one REST book a symbol where the exchange has one that can be compared. Exit code 4 if one contradicts.

    The JSON is one document (docs/reference/certificates.md), the same bytes on every machine.

    Example: alphapulse verify captures/ --require valid:99.9,gaps:0 --json > certificate.json
    """
    form = render.chosen_format(form, as_json, ("table", "json"))
    if verify_live.LIVE in places:
        if len(places) > 1 or require or jobs > 1:
            raise UsageError("`verify live` goes without captures, --require and --jobs", "a folder of that name: ./live")
        raise typer.Exit(verify_live.run(exchange, symbols, shm_dir, duration, form))
    if duration is not None or shm_dir is not None:
        raise UsageError("--duration and --shm-dir go with `verify live`", "leave them out to prove a capture")

    from pathlib import Path

    from alphapulse_cli.apps.verify.requirements import parse_requirements, unmet
    from alphapulse_cli.apps.verify.verify import certify, chosen
    from alphapulse_cli.cli.capture_progress import progress

    required = parse_requirements(require or ())
    wanted = chosen([Path(place) for place in places], exchange or (), symbols or ())
    with (
        stderr.told_if_cut("nothing was proved"),
        progress([path for recording, _ in wanted for path in recording.files], form) as advance,
    ):
        certificate = certify(wanted, jobs, advance)
    if form == "json":
        print(certificate.to_json().decode(), end="", flush=True)
    else:
        out = render.console(sys.stdout)
        for line in (*lines(certificate), *_what_next(certificate, places)):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    missed = unmet(certificate, required)
    for line in missed:
        stderr.error(f"--require {line}")
    if not certificate.holds:
        stderr.error("something does not hold: " + ", ".join(_broken(certificate)))
    if missed or not certificate.holds:
        raise typer.Exit(ExitCode.INTEGRITY)


def lines(certificate: "Certificate") -> Iterator[str]:
    """Lines of a certificate in words: a set, a book each, what is wrong with files, then gaps."""
    from alphapulse_cli.edges.safe_text import safe

    for one in certificate.sets:
        for line in _of_set(one):
            yield safe(line)


def _what_next(certificate: "Certificate", places: Sequence[str]) -> Iterator[str]:
    """Line with the command that shows the evidence for the first gap, if there is one."""
    import shlex

    from alphapulse_cli.edges.safe_text import safe

    for one in certificate.sets:
        if one.gaps:
            yield safe(f"What came in place of what was due: alphapulse explain {one.gaps[0].id} {shlex.join(map(str, places))}")
            return


def _of_set(one: "SetCertificate") -> Iterator[str]:
    from alphapulse_cli.readers.moments import moment

    counts = one.counts
    yield (
        f"{one.set_name}: {one.exchange} {one.mode}, {moment(one.from_ns, digits=3)} to {moment(one.to_ns, digits=3)},"
        f" {counts['frames']} frames, {counts['trades']} trades"
    )
    for book in one.books:
        yield f"  {_of_book(one, book)}"
    for damage in one.damages:
        yield f"  {damage.name}: {damage.what}"
    seen = {
        "frames not understood": counts["decode_errors"],
        "messages of unknown kinds": counts["unrecognised"],
        "numbers off the grid": counts["off_grid"],
        "trades missed": counts["trades_missed"] - counts["trades_recovered"],
        "duplicates": one.duplicates,
        "steps back of the clock": one.clock_steps,
        "rows lost": one.rows_lost,
    }
    if any(seen.values()):
        yield "  " + ", ".join(f"{what}: {number}" for what, number in seen.items() if number)
    for gap in one.gaps[:MOST_GAPS_SHOWN]:
        yield f"  {_of_gap(gap)}"
    left_out = len(one.gaps[MOST_GAPS_SHOWN:]) + one.gaps_left_out
    if left_out:
        yield f"  and {left_out} more gaps (--json has {len(one.gaps)})"


def _of_book(one: "SetCertificate", book: "BookCertificate") -> str:
    from alphapulse_cli.apps.verify.requirements import decimal, valid_share

    depth = f" (the best {book.verified_levels} levels a side)" if book.verified_levels and book.verdict == "verified" else ""
    share = f"valid {decimal(valid_share(book), 4)} %"
    gaps = sum(gap.symbol == book.symbol for gap in one.gaps)
    parts = [share, f"{gaps} gap{'' if gaps == 1 else 's'}", f"{book.counts.get('book_updates', 0)} updates"]
    if book.counts.get("checksums_ok") or book.counts.get("checksums_bad"):
        parts.append(f"checksums {book.counts.get('checksums_ok', 0)} right, {book.counts.get('checksums_bad', 0)} wrong")
    parts += [f"stale {decimal(_seconds(book.stale_ns), 3)} s"] if book.stale_ns else []
    parts += [f"crossed {decimal(_seconds(book.crossed_ns), 3)} s"] if book.crossed_ns else []
    verdict = f"{book.verdict.upper()}{depth}"
    why = f": {', '.join(book.problems)}" if book.problems else ""
    return f"{book.symbol:<12} {verdict}{why}  {', '.join(parts)}"


def _of_gap(gap: "Incident") -> str:
    from alphapulse_cli.readers.moments import moment

    numbers = f", expected {gap.expected}, found {gap.found}" if gap.expected else ""
    detail = f" ({gap.detail})" if gap.detail and not gap.expected else ""
    healed = "not healed" if gap.healed_ns is None else f"healed after {(gap.healed_ns - gap.time_ns) / 1e9:.3f} s"
    return f"gap {gap.id}  {moment(gap.time_ns, digits=3)}  {gap.symbol}  {gap.kind.replace('_', ' ')}{detail}{numbers}, {healed}"


def _seconds(time_ns: int) -> "Fraction":
    from fractions import Fraction

    return Fraction(time_ns, 1_000_000_000)


def _broken(certificate: "Certificate") -> list[str]:
    found = [f"{one.set_name}: {problem}" for one in certificate.sets for problem in one.problems]
    return found + [
        f"{one.set_name}:{book.symbol} {problem}" for one in certificate.sets for book in one.books for problem in book.problems
    ]
