"""`alphapulse explain`: the evidence that a capture holds for a gap."""

from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from alphapulse_cli.cli import options, render

app = options.command_app()


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
    places: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", show_default=False, help="Captures, and folders of them.")],
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
) -> None:
    """Show the evidence for one gap of a capture: what was due and what came, the book before and after, what readers saw.

    Gaps are: a broken sequence, a wrong checksum, a crossed book, a lost connection, a silent or mute feed, a message that cannot
    be read, rows that the capture lacks. The capture is played through the code that collects, so the page shows what the collector
    saw; its last lines print the same bytes with `capture cat`.

    Example: alphapulse explain last captures

    Example: alphapulse explain 2026-11-27T08:00:00Z captures --symbol BTC-USD --json
    """
    from alphapulse_cli.apps.explain import search
    from alphapulse_cli.apps.explain.gather import Wanted, gather
    from alphapulse_cli.apps.replay.timeline import recordings
    from alphapulse_cli.cli import capture_lines, explain_page
    from alphapulse_cli.edges.capture.files import capture_files
    from alphapulse_cli.errors import NoSegment

    form = render.chosen_format(form, as_json, options.TABLE_OR_JSON)
    found = [one for one in recordings(capture_files(places)) if not exchanges or {one.exchange, one.set_name} & set(exchanges)]
    named = [text.rpartition(":") for text in symbols or ()]
    found = [one for one in found if not named or {of for of, *_ in named} & {"", one.exchange, one.set_name}]
    if not found:
        raise NoSegment(
            f"no capture of {', '.join([*(exchanges or ()), *(symbols or ())])} there",
            "alphapulse capture info FILE shows what it holds",
        )
    warn = cache(capture_lines.warn)  # the capture is read more than once
    recording, incident, how = search.asked(found, what, [symbol for *_, symbol in named], warn)
    usual = Wanted(depth=depth)
    wanted = usual if frames is None else Wanted(frames, frames, depth)
    evidence = gather(recording, incident, how, wanted, warn)
    if form == "json":
        render.emit_json([evidence.row()])
    else:
        explain_page.show(evidence, [str(path) for path in recording.files if path.name == evidence.file])
