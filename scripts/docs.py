"""The reference pages, made of the code: `scripts/docs.py` writes docs/reference/, `scripts/docs.py --check` fails where one is stale.

A page is a function of `PAGES`; what it says comes from the table in the code that the program itself uses.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "<!-- Made by scripts/docs.py of the code; do not edit. -->"
HELP_COLUMNS = 100


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in row) + " |"
        for row in rows
    ]
    return "\n".join(lines)


def code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def first_paragraph(documented: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((documented.__doc__ or "").strip().partition("\n\n")[0].split())


def commands() -> Iterator[str]:
    from alphapulse_cli.cli import commands as listed
    from alphapulse_cli.cli import root

    yield "# Commands"
    yield "What `--help` says, of every command."
    top = root.command()
    context = top.make_context("alphapulse", [], resilient_parsing=True, terminal_width=HELP_COLUMNS)
    yield code(top.get_help(context))
    for name, entry in listed.available().items():
        if not entry.alias_of:
            yield from command_help(root.load(name), name, context, 2)


def command_help(command: Any, name: str, parent: Any, depth: int) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=HELP_COLUMNS)
    yield f"{'#' * depth} {context.command_path}"
    yield code(command.get_help(context))
    for child_name, child in getattr(command, "commands", {}).items():
        yield from command_help(child, child_name, context, depth + 1)


def layouts() -> Iterator[str]:
    from alphapulse_cli.shm import layout
    from alphapulse_cli.wire import delta, trade

    yield "# Layouts"
    yield (
        f"Segment layout {layout.LAYOUT_MAJOR}.{layout.LAYOUT_MINOR}. Integers are little-endian on the machines we run on; texts are NUL-padded"
        " ASCII. Offsets and sizes are in bytes."
    )
    yield "## The segment"
    yield code((layout.__doc__ or "").partition("\n\n")[2])
    for title, fields in (
        ("Header: identity", layout.IDENTITY_FIELDS),
        ("Header: shared words", layout.SHARED_FIELDS),
        ("Book image (kind BOOK)", layout.IMAGE_FIELDS),
        ("Checkpoint (kind BOOK)", layout.CHECKPOINT_FIELDS),
    ):
        yield f"### {title}"
        yield table(("offset", "field", "type", "meaning"), ((f.offset, f"`{f.name}`", f.type, f.meaning) for f in fields))
    yield f"## The delta record, {delta.DELTA_BYTES} bytes"
    at = delta.offsets()
    yield table(
        ("offset", "field", "type", "meaning"),
        (
            (at[name], f"`{name}`", kind if isinstance(kind, str) else f"{delta.MAX_CHANGES} x {delta.CHANGE_BYTES} bytes", meaning)
            for name, kind, meaning, *_ in delta.DELTA_FIELDS
        ),
    )
    yield "A change (also one level of the book image, without its two upper bits there):"
    yield table(("offset", "field", "type", "meaning"), offset_rows(delta.CHANGE_FIELDS))
    yield "The payload of a CHECK:"
    yield table(("offset", "field", "type", "meaning"), ((at[f"check.{n}"], f"`{n}`", k, m) for n, k, m in delta.CHECK_FIELDS))
    yield "The payload of a STATUS:"
    yield table(("offset", "field", "type", "meaning"), ((at[f"status.{n}"], f"`{n}`", k, m) for n, k, m in delta.STATUS_FIELDS))
    for kinds in (delta.Kind, delta.BookState, delta.BookReason, delta.ChecksumState):
        yield f"{kinds.__name__}: " + ", ".join(f"{member.value} {member.name}" for member in kinds) + "."
    yield f"## The trade record, {trade.TRADE_BYTES} bytes"
    yield table(("offset", "field", "type", "meaning"), offset_rows(trade.TRADE_FIELDS))


def offset_rows(fields: Iterable[tuple[str, str, str]]) -> Iterator[tuple[object, ...]]:
    """Fields one after another, each with its offset; types as numpy writes them."""
    offset = 0
    for name, kind, meaning in fields:
        yield offset, f"`{name}`", kind, meaning
        offset += int(kind.lstrip("<=>|")[1:])


def counters() -> Iterator[str]:
    from alphapulse_cli.shm import counters as counted

    yield "# Counters"
    yield code((counted.__doc__ or "").partition("\n\n")[2])
    rows = (
        (counted.BLOCK_HEAD_WORDS * 8 + member.value * 8, f"`{member.label}`", member.unit, member.meaning)
        for member in counted.Counter
    )
    yield table(("offset in the block", "counter", "unit", "meaning"), rows)
    yield "Histograms, behind the blocks, in this order:"
    yield table(("histogram", "meaning"), ((f"`{name}`", meaning) for name, meaning in counted.HISTOGRAMS))


def errors() -> Iterator[str]:
    from alphapulse_cli import errors as raised

    yield "# Errors"
    yield "On stderr an error is `error: …`, then `hint: …` where there is a next thing to try. The exit code says which kind it was."
    yield "## Exit codes"
    yield table(("code", "name"), ((member.value, f"`{member.name}`") for member in raised.ExitCode))
    yield "## The tree"
    yield code((raised.__doc__ or "").partition("\n\n")[2])
    yield table(
        ("exception", "exit code", "what it means", "what a session does"),
        (
            (
                f"`{kind.__name__}`",
                int(kind.exit_code),
                first_paragraph(kind),
                remedy.value if (remedy := getattr(kind, "remedy", None)) else "-",
            )
            for kind in tree(raised.AlphapulseError)
        ),
    )


def tree(kind: type) -> Iterator[Any]:
    """The class and all below it that `errors.py` defines, depth first."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == kind.__module__:
            yield from tree(below)


def configuration() -> Iterator[str]:
    from alphapulse_cli.edges import config

    yield "# Configuration"
    yield "A flag is stronger than an `ALPHAPULSE_*` variable, that than `./alphapulse.toml`, that than the user's file, that than the default."
    yield "`alphapulse config show` prints each value with its origin, `alphapulse config init` writes a commented file."
    heads = ("key", "variable", "type", "default", "meaning")
    yield table(
        heads, ((f"`{k.name}`", f"`{k.env()}`", k.kind.described, f"`{config.toml(k.default)}`", k.help) for k in config.KEYS)
    )
    yield "## `[exchange.NAME]`"
    yield table(
        heads,
        (
            (f"`{k.name}`", f"`{k.env('NAME')}`", k.kind.described, f"`{config.toml(k.default)}`", k.help)
            for k in config.EXCHANGE_KEYS
        ),
    )
    yield "In a variable's name, a dash of the exchange's name is an underscore: `ALPHAPULSE_BINANCE_US_URL`."


def exchanges() -> Iterator[str]:
    from alphapulse_cli import exchanges as registry

    yield "# Exchanges"
    for name in registry.BUILT_IN:
        facts = registry.get(name).facts
        yield f"## {facts.title} (`{name}`)"
        yield table(
            ("mode", "the full book", "depths", "kept right by", "address", "REST"),
            (
                (
                    f"`{mode.name}`" + (" (default)" if mode is facts.modes[0] else ""),
                    "yes" if mode.full_depth else "no",
                    ", ".join(map(str, mode.depths)) or "-",
                    mode.validates,
                    mode.websocket_url,
                    mode.rest_url,
                )
                for mode in facts.modes
            ),
        )
        yield f"Taker fee of the lowest tier: {facts.taker_fee or 'not said'}."
        if facts.quirks:
            yield "\n".join(f"- {quirk}" for quirk in facts.quirks)
    yield "## Refused by name"
    yield "\n".join(f"- `{name}`: {reason}" for name, reason in registry.REFUSED.items())


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands,
    "configuration.md": configuration,
    "counters.md": counters,
    "errors.md": errors,
    "exchanges.md": exchanges,
    "layouts.md": layouts,
}


def index() -> Iterator[str]:
    yield "# Reference"
    yield "\n".join(f"- [{next(iter(page())).lstrip('# ')}]({name})" for name, page in PAGES.items())


def made() -> dict[str, str]:
    """Every page's text, by its file's name."""
    pages = {"README.md": index, **PAGES}
    return {name: "\n\n".join([MADE, *page()]) + "\n" for name, page in pages.items()}


def main() -> int:
    pages = made()
    stale = [name for name, text in pages.items() if not (TARGET / name).is_file() or (TARGET / name).read_text() != text]
    left = sorted(path.name for path in TARGET.glob("*.md") if path.name not in pages)
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/reference/{name} is not what the code says; run scripts/docs.py")
        for name in left:
            print(f"docs/reference/{name} is made by nothing; remove it")
        return int(bool(stale or left))
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (TARGET / name).write_text(pages[name])
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
