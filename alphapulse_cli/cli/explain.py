"""`alphapulse explain`: the evidence for a gap, from a capture or from the last frames of collectors that run."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import NoSegment, UsageError

if TYPE_CHECKING:
    from alphapulse_cli.apps.explain.gather import Wanted

app = options.command_app()
LIVE = "live"


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="GAP|TIME",
            autocompletion=options.complete_moment,
            help="Id of a gap; or a time (RFC 3339 with Z or an offset, or ns since 1970) for the last one up to then; or `last`.",
        ),
    ],
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE|DIR...|live]",
            show_default=False,
            help="Captures, and folders of them; `live`, the default, for the last frames that collectors keep in memory.",
        ),
    ] = None,
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            min=0,
            max=1000,
            metavar="N",
            show_default=False,
            help="Frames of the connection on either side of the fault. Default: 5 before, 3 after.",
        ),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Levels per side of the books that are shown.")] = 10,
    form: options.FormatWithoutRows = None,
    as_json: options.Json = False,
    shm_dir: options.ShmDir = None,
) -> None:
    """Show the evidence for one gap of a capture: what was due and what came, the book before and after, what readers saw.

    Gaps are: a broken sequence, a wrong checksum, a crossed book, a lost connection, a silent or mute feed, a message that cannot
    be read, rows that the capture lacks. The capture is played through the code that collects, so the page shows what the collector
    saw; its last lines print the same bytes with `capture cat`. Without one, collectors that run are asked for their last frames
    (`collect --last-frames`).

    Example: alphapulse explain last

    Example: alphapulse explain last captures

    Example: alphapulse explain 2026-11-27T08:00:00Z captures --symbol BTC-USD --json
    """
    from alphapulse_cli.apps.explain.gather import Wanted

    form = render.chosen_format(form, as_json, options.TABLE_OR_JSON)
    usual = Wanted(depth=depth)
    wanted = usual if frames is None else Wanted(frames, frames, depth)
    named = [(of, symbol) for of, _, symbol in (text.rpartition(":") for text in symbols or ())]
    if places and places != [Path(LIVE)]:
        if Path(LIVE) in places:
            raise UsageError(
                "`live` and captures contradict each other", f"use only one of them; a folder of that name is ./{LIVE}"
            )
        _explain(what, places, exchanges or (), named, wanted, form, is_kept=True)
        return
    with tempfile.TemporaryDirectory(prefix="alphapulse-explain-") as scratch:
        folder = Path(scratch) / "last"
        _write_last(folder, exchanges or sorted({of for of, _ in named if of}), shm_dir)
        try:
            _explain(what, [folder], exchanges or (), named, wanted, form, is_kept=False)
        except NoSegment as error:
            raise NoSegment(
                str(error).replace("the capture", "the last frames"),
                "collectors keep about 30 s (`collect --last-frames 2m`): name a capture for what happened before",
            ) from None


def _explain(
    what: str,
    places: Sequence[Path],
    exchanges: Sequence[str],
    named: Sequence[tuple[str, str]],
    wanted: "Wanted",
    form: str,
    *,
    is_kept: bool,
) -> None:
    """Explain what was asked from captures; `named` are the symbols, each with its exchange or ""."""
    from alphapulse_cli.apps.explain import search
    from alphapulse_cli.apps.explain.gather import gather
    from alphapulse_cli.apps.replay.timeline import recordings
    from alphapulse_cli.cli import capture_lines, explain_page
    from alphapulse_cli.edges.capture.files import capture_files

    found = [one for one in recordings(capture_files(places)) if not exchanges or {one.exchange, one.set_name} & set(exchanges)]
    found = [one for one in found if not named or {of for of, _ in named} & {"", one.exchange, one.set_name}]
    if not found:
        asked = ", ".join([*exchanges, *(f"{of}:{symbol}" if of else symbol for of, symbol in named)])
        raise NoSegment(f"no capture of {asked} there", "alphapulse capture info FILE shows what it holds")
    warn = cache(capture_lines.warn)  # the capture is read more than once
    recording, incident, how = search.asked(found, what, [symbol for _, symbol in named], warn if is_kept else lambda *_: None)
    evidence = gather(recording, incident, how, wanted, lambda *_: None)
    if form == "json":
        render.emit_json([evidence.row()])
    else:
        explain_page.show(evidence, [str(path) for path in recording.files if is_kept and path.name == evidence.file])


def _write_last(folder: Path, names: Sequence[str], shm_dir: str | None) -> None:
    """Write the last frames of the named sets, or of all collectors, into a folder."""
    from alphapulse_cli.apps.last_frames import write_last
    from alphapulse_cli.edges import control
    from alphapulse_cli.shm.directory import check_set_name, open_directory

    with open_directory(options.settings().choose("shm_dir", shm_dir) or None) as directory:
        asked = [check_set_name(name) for name in names] or control.controlled_sets(directory)
        if not asked:
            raise NoSegment("no collector is running", "name a capture: alphapulse explain last FILE")
        write_last(directory, asked, folder, lambda name, text: stderr.note(f"{name}: {text}"), needs_all=bool(names))
