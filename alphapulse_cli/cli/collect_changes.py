"""`alphapulse collect add` and `collect rm`: the symbols of a running collector."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import AlphapulseError, NoSegment, UsageError

NO_OPTIONS = "alphapulse.collect.no_options"  # key of a context's `meta`
COLUMNS = (render.Column("set"), render.Column("symbol"), render.Column("change"))

Wanted = Annotated[
    list[str],
    typer.Argument(
        metavar="SYMBOL...",
        autocompletion=options.complete_symbol,
        help="Symbols, kraken:BTC-USD of one exchange, or quoted patterns such as '*-EUR'.",
    ),
]
SetName = Annotated[
    str,
    typer.Option(
        "--as", metavar="NAME", show_default=False, help="Name of the set, of a collector that was started with `collect --as`."
    ),
]


def add(
    symbols: Wanted,
    names: options.Exchanges = None,
    set_name: SetName = "",
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Add symbols to a running collector, which opens another connection for them: its other books go on undisturbed.

    Without --exchange it is the only collector that runs. A pattern is followed from then on. The change ends with the collector: a
    later start has the symbols of its own command line.

    Example: alphapulse collect add --exchange kraken SOL-USD
    """
    _change("add", symbols, names, set_name, shm_dir, render.chosen_format(form, as_json))


def remove(
    symbols: Wanted,
    names: options.Exchanges = None,
    set_name: SetName = "",
    shm_dir: options.ShmDir = None,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Remove symbols from a running collector: their books are marked RETIRED, the others go on undisturbed.

    A connection that is left without symbols is closed. Others stay subscribed, and what still comes for the removed ones is left
    out. A pattern removes what it matches, and is followed no longer.

    Example: alphapulse collect rm kraken:SOL-USD
    """
    _change("rm", symbols, names, set_name, shm_dir, render.chosen_format(form, as_json))


class CollectGroup(options.Group):
    """Group of `collect`, whose own options are parsed only where no subcommand is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the group's options, unless a subcommand is the first word."""
        ctx.meta[NO_OPTIONS] = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Options of the group; none if a subcommand is the first word."""
        return [] if ctx.meta.get(NO_OPTIONS) else super().get_params(ctx)


def refuse_options_before(context: typer.Context) -> None:
    """Raise UsageError for an option of `collect` before `add` or `rm`, where it would have no effect."""
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.expose_value and source is not None and source.name == "COMMANDLINE":
            option, command = parameter.opts[0], context.invoked_subcommand
            raise UsageError(
                f"{option} comes before {command}, where it has no effect",
                f"write it after the subcommand: alphapulse collect {command} {option} …",
            )


def _change(action: str, texts: Sequence[str], names: list[str] | None, set_name: str, shm_dir: str | None, form: str) -> None:
    from alphapulse_cli import exchanges
    from alphapulse_cli.edges import control
    from alphapulse_cli.market.choice import split_choice, understood_choice
    from alphapulse_cli.shm.directory import check_set_name, open_directory

    settings = options.settings()
    words = options.split_lists(texts)
    for word in words:
        if word in exchanges.names():
            raise UsageError(f"not a symbol, but an exchange: {word}", f"alphapulse collect {action} --exchange {word} SYMBOL...")
    choices = [split_choice(understood_choice(text)) for text in words]
    if set_name and names:
        raise UsageError("--as and --exchange name one set each", "give one of the two")
    if set_name:
        check_set_name(set_name)
    for name in [*(names or ()), *(exchange for exchange, _ in choices if exchange)]:
        if name not in exchanges.names():
            exchanges.get(name)  # says which ones are near
    with open_directory(settings.choose("shm_dir", shm_dir) or None) as directory:
        usual = [set_name] if set_name else list(names or ()) or control.controlled_sets(directory)
        rows: list[dict[str, Any]] = []
        by_set = _by_set(choices, usual, asked=bool(set_name or names))
        try:
            for name, symbols in by_set.items():
                changed = control.ask(directory, name, action, symbols)
                rows += [{"set": name, "symbol": symbol, "change": "added" if action == "add" else "removed"} for symbol in changed]
                if not changed and action == "add":
                    stderr.note(f"{name}: collected already: {', '.join(symbols)}")
        except AlphapulseError:
            if rows:  # another set has changed already
                render.emit_rows(rows, COLUMNS, form)
            raise
    render.emit_rows(rows, COLUMNS, form)


def _by_set(choices: Sequence[tuple[str, str]], usual: Sequence[str], *, asked: bool) -> dict[str, list[str]]:
    """Choices by set: the set of the exchange in the choice, else the requested sets, else the only running set."""
    found: dict[str, list[str]] = {}
    for exchange, choice in choices:
        if not exchange and not asked and len(usual) != 1:
            if not usual:
                raise NoSegment("no collector is running", "alphapulse collect --exchange kraken")
            raise UsageError(f"{choice}: there are several collectors: {', '.join(usual)}", f"--exchange {usual[0]}, or --as NAME")
        for name in [exchange] if exchange else usual:
            found.setdefault(name, []).append(choice)
    return found
