"""Options that `collect` and `capture run` share, and the plans that they make."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from alphapulse_cli.cli import options
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alphapulse_cli.apps.collect.plan import CollectPlan
    from alphapulse_cli.edges.capture.keeping import CapturePlan
    from alphapulse_cli.edges.config.layers import Settings

Read = TypeVar("Read")
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channels",
        metavar="NAMES",
        autocompletion=options.complete_words("book", "trades", several=True),
        show_default=False,
        help="book, trades, or both with a comma. Default: both.",
    ),
]
Depth = Annotated[
    int | None, typer.Option(min=1, metavar="N", show_default=False, help="Levels per side, if the exchange offers a choice.")
]
Modes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODE",
        autocompletion=options.complete_mode,
        show_default=False,
        help="Feed, as listed by `alphapulse exchanges`; with several exchanges coinbase=exchange.",
    ),
]
SetName = Annotated[
    str,
    typer.Option("--as", metavar="NAME", show_default=False, help="Name of the set of segments, instead of the exchange's name."),
]
Url = Annotated[
    str,
    typer.Option(metavar="URL", show_default=False, help="WebSocket address of a simulator or a proxy, instead of the exchange's."),
]
RestUrl = Annotated[
    str,
    typer.Option(
        metavar="URL",
        show_default=False,
        help="REST address, instead of the exchange's. Default with a --url on this machine: its host and port.",
    ),
]
Transport = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=options.complete_words("auto", "websockets", "picows"),
        show_default=False,
        help="WebSocket library: websockets, picows (from the extra `fast`), or auto: picows where it is installed.",
    ),
]
SkipUnlisted = Annotated[
    bool | None,
    typer.Option(
        "--skip-unlisted/--no-skip-unlisted",
        show_default=False,
        help="If an exchange does not list all symbols: collect the others, or refuse. Default: refuse on a terminal.",
    ),
]
Checksum = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        show_default=False,
        autocompletion=options.complete_words("strict", "warn"),
        help="Books whose snapshots never match the exchange's checksum: strict, never LIVE; warn, LIVE but marked unverified;"
        " kraken:BTC-USD=warn for one book.",
    ),
]
Capture = Annotated[
    str | None,
    typer.Option(
        "--capture",
        metavar="DIR",
        show_default=False,
        help="Also write all that is received and sent to files in this folder, to be replayed: see `alphapulse capture`."
        " none: no capture, even if the configuration has a folder.",
    ),
]
Rotate = Annotated[
    str | None,
    typer.Option(
        "--rotate",
        metavar="BOUNDS",
        show_default=False,
        autocompletion=options.complete_words("1h", "15m", "1d", "256MiB", "1h,256MiB"),
        help="When a capture's file ends and the next begins: 1h, 256MiB, or both with a comma. Default: 1h, at full hours of UTC.",
    ),
]
KeepFor = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="BOUNDS",
        show_default=False,
        autocompletion=options.complete_words("7d", "50GiB", "7d,50GiB", "none"),
        help="Delete this set's oldest captures beyond an age or a size: 7d, 50GiB, or both with a comma. Default: delete nothing."
        " none: delete nothing, even if the configuration has a limit.",
    ),
]
LeastRoom = Annotated[
    str | None,
    typer.Option(
        "--least-free",
        metavar="BOUNDS",
        show_default=False,
        autocompletion=options.complete_words("5%,1GiB", "1GiB", "5%", "0"),
        help="Stop the capture, not the collector, while less of the disk is free. Default: 5%,1GiB; 0: fill it.",
    ),
]
LastFrames = Annotated[
    str | None,
    typer.Option(
        "--last-frames",
        metavar="BOUNDS",
        show_default=False,
        autocompletion=options.complete_words("30s", "2m", "16MiB", "2m,32MiB", "off"),
        help="Last frames to keep in memory, for `alphapulse capture last`: 30s, 8MiB, or both with a comma. Default: 30s,8MiB. off: none.",
    ),
]


def last_frames(text: str | None, settings: "Settings") -> str:
    """Bounds of the last frames that a collector keeps. UsageError for wrong ones."""
    from alphapulse_cli.edges.capture import keeping

    chosen: str = settings.choose("last_frames", text)
    read_bounds("--last-frames", keeping.last_frames, chosen, "30s", "30s,8MiB", "off")
    return chosen


def read_bounds(flag: str, read: "Callable[[str], Read]", text: str, *examples: str) -> "Read":
    """Bounds of an option, of time, size or room. UsageError with examples."""
    try:
        return read(text)
    except ValueError as error:
        *former, last = [f"{flag} {example}" for example in examples]
        raise UsageError(f"{flag}: {error}", f"write {', '.join([*former, f'or {last}' if former else last])}") from None


def capture_plan(
    folder: str, rotate: str | None, keep: str | None, least_free: str | None, settings: "Settings", *, is_all: bool = False
) -> "CapturePlan | None":
    """Plan of the capture; None for no folder. UsageError for wrong bounds, and for a bound without a folder."""
    from alphapulse_cli.edges.capture import keeping

    given = {"--rotate": rotate, "--keep": keep, "--least-free": least_free}
    if rotate is not None:
        read_bounds("--rotate", keeping.rotation, rotate, "1h", "256MiB", "1h,256MiB")
    if keep is not None:
        read_bounds("--keep", keeping.keep, keep, "7d", "50GiB", "7d,50GiB")
    if least_free is not None:
        read_bounds("--least-free", keeping.least_free, least_free, "5%", "1GiB", "5%,1GiB")
    if not folder or (folder == keeping.NONE and not is_all):
        lonely = next((flag for flag, text in given.items() if text is not None), "")
        if lonely:
            raise UsageError(f"{lonely} is about captures, and nothing is captured", "add --capture DIR")
        return None
    return keeping.CapturePlan(
        str(Path(folder).absolute()),
        settings.choose("rotate", rotate),
        "" if keep == keeping.NONE else settings.choose("keep", keep),
        settings.choose("least_free", least_free),
        is_all,
    )


def make_plans(
    settings: "Settings",
    names: list[str] | None,
    symbols: list[str] | None,
    channels: list[str] | None,
    depth: int | None,
    mode: list[str] | None,
    *,
    set_name: str,
    url: str,
    rest_url: str,
    transport: str | None,
    skip_unlisted: bool | None,
    checksum: str | None,
    shm_dir: str | None,
    duration: float | None,
    capture: "CapturePlan | None",
    last_frames: str = "30s,8MiB",
    books_dir: str | None = None,
) -> "Sequence[CollectPlan]":
    """Plans of a collection, one an exchange, from its options and the configuration. UsageError."""
    from alphapulse_cli import exchanges
    from alphapulse_cli.apps.collect.plan import plans
    from alphapulse_cli.edges import process
    from alphapulse_cli.shm.directory import check_set_name

    chosen = list(settings.choose("exchanges", names))
    for name in chosen:
        exchanges.get(name)
    if (url or rest_url or set_name) and len(dict.fromkeys(chosen)) > 1:
        raise UsageError(
            "--url, --rest-url and --as go with one exchange",
            "set exchange.NAME.url in the configuration, or run one command for each",
        )
    if set_name in exchanges.names() and [set_name] != chosen:
        raise UsageError(
            f"--as {set_name}: that is the name of an exchange", f"choose another name, as in --as {chosen[0]}-2" if chosen else ""
        )
    return plans(
        chosen,
        settings.choose("symbols", symbols),
        options.split_lists(settings.choose("channels", channels)),
        _modes(mode, chosen, settings),
        {name: depth or settings.get("depth", name) or settings.get("depth") for name in chosen},
        set_name=check_set_name(set_name) if set_name else "",
        urls={name: url or settings.get("url", name) for name in chosen},
        rest_urls={name: rest_url or settings.get("rest_url", name) for name in chosen},
        shm_dir=str(settings.choose("shm_dir", shm_dir) or "") or None,
        ring_capacity=settings.get("ring_records"),
        duration_s=process.left_s(duration),
        transport=settings.choose("transport", transport),
        skip_unlisted=_skips(settings, skip_unlisted),
        checksum=settings.choose("checksum", checksum),
        capture=capture,
        last_frames=last_frames,
        books_dir=books_dir,
    )


def _skips(settings: "Settings", flag: bool | None) -> bool:
    """Whether to skip unlisted symbols: the flag, else the configuration; `auto` skips them unless stderr is a terminal."""
    from alphapulse_cli.cli import stderr

    choice = settings.get("skip_unlisted")
    if flag is not None or choice != "auto":
        return choice == "always" if flag is None else flag
    return not stderr.is_terminal(sys.stderr)


def _modes(texts: list[str] | None, names: list[str], settings: "Settings") -> dict[str, str]:
    """Mode by exchange, from "coinbase=exchange" or, with one exchange, from a bare mode; else from the configuration."""
    modes: dict[str, str] = {name: settings.get("mode", name) for name in names}
    for text in options.split_lists(texts or ()):
        name, equals, mode = text.rpartition("=")
        if not equals and len(modes) > 1:
            raise UsageError(f"--mode {mode[:40]!r} does not name its exchange", "write it as in --mode coinbase=exchange")
        if equals and name not in modes:
            raise UsageError(f"--mode {text[:40]!r}: {name[:40]!r} is not among the exchanges to collect")
        modes[name or names[0]] = mode
    return modes
