"""`alphapulse collect`: collectors of exchanges into shared memory."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import collect_changes, options
from alphapulse_cli.edges import process
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.edges.config.layers import Settings

app = options.command_app(cls=collect_changes.CollectGroup, invoke_without_command=True, subcommand_metavar="[add|rm …]")
app.command("add")(collect_changes.add)
app.command("rm")(collect_changes.remove)


@app.callback()
def collect(
    context: typer.Context,
    names: options.Exchanges = None,
    symbols: options.Choices = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(
            "--channels",
            metavar="NAMES",
            autocompletion=options.complete_words("book", "trades", several=True),
            show_default=False,
            help="book, trades, or both with a comma. Default: both.",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, metavar="N", show_default=False, help="Levels a side, where the exchange offers a choice.")
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODE",
            autocompletion=options.complete_mode,
            show_default=False,
            help="Feed, as listed by `alphapulse exchanges`; with several exchanges coinbase=exchange.",
        ),
    ] = None,
    set_name: Annotated[
        str,
        typer.Option(
            "--as", metavar="NAME", show_default=False, help="Name of the set of segments, instead of the exchange's name."
        ),
    ] = "",
    url: Annotated[
        str,
        typer.Option(
            metavar="URL", show_default=False, help="WebSocket address of a simulator or a proxy, instead of the exchange's."
        ),
    ] = "",
    rest_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="REST address, instead of the exchange's. Default with a --url on this machine: its host and port.",
        ),
    ] = "",
    transport: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=options.complete_words("auto", "websockets", "picows"),
            show_default=False,
            help="WebSocket library: websockets, picows (from the extra `fast`), or auto: picows where it is installed.",
        ),
    ] = None,
    skip_unlisted: Annotated[
        bool | None,
        typer.Option(
            "--skip-unlisted/--no-skip-unlisted",
            show_default=False,
            help="Where an exchange does not list all symbols, collect the others, or refuse. Default: refuse on a terminal.",
        ),
    ] = None,
    checksum: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            show_default=False,
            autocompletion=options.complete_words("strict", "warn"),
            help="Books whose snapshots never match the exchange's checksum: strict, never LIVE; warn, LIVE but marked unverified;"
            " kraken:BTC-USD=warn for one book.",
        ),
    ] = None,
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
    supervised: options.Supervised = False,
) -> None:
    """Collect books and trades of exchanges into shared memory, until Ctrl-C, SIGTERM or --duration.

    An exchange that is unreachable (maintenance, no network yet) is waited for, at the start and later, within --duration. A
    failure that trying again cannot mend (a blocked region, a wrong path, a certificate, an unknown symbol) ends the command with
    exit code 6.

    With several --exchange each has a supervised process, restarted if it dies. A symbol that names its exchange (kraken:BTC-USD)
    is collected there, any other from every exchange. Gaps, bad checksums and lost connections heal by themselves; they are counted
    and shown.

    Example: alphapulse collect --exchange kraken --exchange coinbase --symbols BTC-USD,ETH-USD
    """
    if context.invoked_subcommand is not None:
        collect_changes.refuse_options_before(context)
        return

    from alphapulse_cli import exchanges
    from alphapulse_cli.apps.collect.plan import plans
    from alphapulse_cli.cli import collecting
    from alphapulse_cli.shm.directory import check_set_name

    settings = options.settings()
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
    made = plans(
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
    )
    raise typer.Exit(collecting.run(made, as_json=as_json, supervised=supervised))


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
