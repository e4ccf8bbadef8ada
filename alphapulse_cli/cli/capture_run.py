"""`alphapulse capture run`: a capture without books for readers."""

from typing import Annotated

import typer

from alphapulse_cli.cli import collect_options, options


def run(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of the capture's files; it is made if it is not there.")],
    names: options.Exchanges = None,
    symbols: options.Choices = None,
    channels: collect_options.Channels = None,
    depth: collect_options.Depth = None,
    mode: collect_options.Modes = None,
    set_name: collect_options.SetName = "",
    url: collect_options.Url = "",
    rest_url: collect_options.RestUrl = "",
    transport: collect_options.Transport = None,
    skip_unlisted: collect_options.SkipUnlisted = None,
    checksum: collect_options.Checksum = None,
    rotate: collect_options.Rotate = None,
    keep: collect_options.KeepFor = None,
    least_free: collect_options.LeastRoom = None,
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
    supervised: options.Supervised = False,
    books_dir: Annotated[
        str | None, typer.Option("--books-dir", hidden=True, help="Directory of the books: for child processes.")
    ] = None,
) -> None:
    """Capture what exchanges send, without books for readers, until Ctrl-C, SIGTERM or --duration.

    The same as `alphapulse collect --capture DIR`, and it ends the same, but no reader finds its books: they are kept in memory of
    its own, so that gaps, bad checksums and lost connections heal in the capture, too.

    Example: alphapulse capture run --exchange kraken --symbols BTC-USD --keep 50GiB captures
    """
    from alphapulse_cli.cli import collecting

    settings = options.settings()
    made = collect_options.make_plans(
        settings,
        names,
        symbols,
        channels,
        depth,
        mode,
        set_name=set_name,
        url=url,
        rest_url=rest_url,
        transport=transport,
        skip_unlisted=skip_unlisted,
        checksum=checksum,
        shm_dir=shm_dir,
        duration=duration,
        capture=collect_options.capture_plan(folder, rotate, keep, least_free, settings, is_all=True),
        books_dir=books_dir,
    )
    raise typer.Exit(collecting.run(made, as_json=as_json, supervised=supervised))
