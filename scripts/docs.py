"""The reference pages, made of the code: `scripts/docs.py` writes docs/reference/, `scripts/docs.py --check` fails where one is stale.

A page is a function of `PAGES`; what it says comes from the table in the code that the program itself uses. `--measure` runs the whole
benchmark on this machine first, two minutes, and keeps the run as docs/reference/performance.json: the page shows it, nobody types it.
`--man DIR` writes manual pages instead, one a command, of the same help: `scripts/docs.py --man ~/.local/share/man/man1`, then `man alphapulse-collect`.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference"
BY_HAND = {
    "captures.md": "Captures",
    "certificates.md": "Certificates",
    "datasets.md": "Datasets",
    "glossary.md": "Glossary",
}  # pages that stand there too; this script leaves them alone
MADE = "<!-- Made by scripts/docs.py of the code; do not edit. -->"
HELP_COLUMNS = 100
MEASURED = TARGET / "performance.json"  # a saved run, kept beside the page that shows it
MEASURE = ("bench", "--targets", "--json", "--save")


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
    from alphapulse_cli.cli.loading import load

    yield "# Commands"
    yield "What `--help` says, of every command."
    top = root.command()
    context = top.make_context("alphapulse", [], resilient_parsing=True, terminal_width=HELP_COLUMNS)
    yield code(top.get_help(context))
    for name, entry in listed.available().items():
        if not entry.alias_of:
            yield from command_help(load(name), name, context, 2)


def command_help(command: Any, name: str, parent: Any, depth: int) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=HELP_COLUMNS)
    yield f"{'#' * depth} {context.command_path}"
    yield code(command.get_help(context))
    for child_name, child in getattr(command, "commands", {}).items():
        yield from command_help(child, child_name, context, depth + 1)


def manual_pages() -> dict[str, str]:
    """The manual page of each command, in roff, by its file's name; aliases are left out, as in commands.md."""
    from alphapulse_cli.cli import commands as listed
    from alphapulse_cli.cli import root
    from alphapulse_cli.cli.loading import load

    top = root.command()
    context = top.make_context("alphapulse", [], resilient_parsing=True, terminal_width=HELP_COLUMNS)
    entries = [entry for entry in listed.available().values() if not entry.alias_of]
    others = [f"alphapulse-{entry.name}" for entry in entries]
    pages = {"alphapulse.1": manual_page("alphapulse", "crypto order books in shared memory", [top.get_help(context)], others)}
    for entry in entries:
        helps = list(command_help(load(entry.name), entry.name, context, 2))[1::2]
        bodies = [text.removeprefix("```text\n").removesuffix("\n```") for text in helps]
        pages[f"alphapulse-{entry.name}.1"] = manual_page(f"alphapulse-{entry.name}", entry.help, bodies, ["alphapulse"])
    return pages


def manual_page(name: str, about: str, helps: Iterable[str], others: Iterable[str]) -> str:
    """One page: the help of a command and of those below it, as they stand."""
    from alphapulse_cli import __version__

    parts = [
        f'.TH {roff(name.upper())} 1 "" "alphapulse {__version__}" "alphapulse"',
        ".SH NAME",
        f"{roff(name)} \\- {roff(about)}",
    ]
    for text in helps:
        usage, _, rest = text.lstrip().partition("\n")
        parts += [
            f'.SH "{roff(usage.removeprefix("Usage: ").partition(" [")[0].upper())}"',
            ".nf",
            roff(usage),
            roff(rest.rstrip()),
            ".fi",
        ]
    parts += [".SH SEE ALSO", ", ".join(f"{roff(other)}(1)" for other in others)]
    return "\n".join(parts) + "\n"


def roff(text: str) -> str:
    """Plain text in roff: nothing in it is a request, a dash is the one that is typed."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.split("\n"))


def tables() -> Iterator[str]:
    from alphapulse_cli.edges.columns import schema

    types = {"int": "int64", "decimal": "decimal128(38, 18)", "text": "string", "bool": "bool"}
    yield "# Tables of a dataset"
    yield "The columns of what `alphapulse record` writes; where the files lie and what holds for them: [datasets](datasets.md)."
    for name, columns in schema.TABLES.items():
        yield f"## {name}"
        rows = ((f"`{one.name}`", types[one.type], "yes" if one.is_nullable else "", one.meaning) for one in columns)
        yield table(("column", "type", "null", "meaning"), rows)


def layouts() -> Iterator[str]:
    from alphapulse_cli.market.trading_status import TradingStatus
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
        ("The instrument's rules (kind BOOK)", layout.RULES_FIELDS),
        ("The trading status (kind BOOK)", layout.STATUS_FIELDS),
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
    for kinds in (delta.RecordKind, delta.BookState, delta.BookReason, delta.ChecksumState, TradingStatus):
        yield f"{kinds.__name__}: " + ", ".join(f"{member.value} {member.name}" for member in kinds) + "."
    yield f"## The trade record, {trade.TRADE_BYTES} bytes"
    yield table(("offset", "field", "type", "meaning"), offset_rows(trade.TRADE_FIELDS))

    yield from beside_the_segments()
    yield from book_hash()


def beside_the_segments() -> Iterator[str]:
    """The files of a set that are no segments."""
    from alphapulse_cli.shm import cursor, lease, wake

    yield f"## The wake page, `<set>.wake`, {wake.WAKE_BYTES} bytes"
    yield after_title(wake)
    yield f"## A reader's cursor, `readers/<pid namespace>-<pid>-<start time>-<n>`, {cursor.CURSOR_BYTES} bytes"
    yield after_title(cursor)
    yield table(
        ("offset", "bytes", "field"), ((offset, size, f"`{name}`") for name, (offset, size) in cursor.CURSOR_FIELDS.items())
    )
    yield "## The lock, `<set>.lock`"
    yield after_title(lease)


def book_hash() -> Iterator[str]:
    """The definition, and what another implementation must give."""
    from alphapulse_cli.book import book

    yield "## The book hash"
    yield (
        "The sum, modulo 2^64, over all levels, of `splitmix64(splitmix64(2 * ticks + is_ask) + lots)`: whatever order led to a book, equal"
        " books have equal hashes. All arithmetic is unsigned and wraps at 64 bits; negative ticks are two's complement."
    )
    yield code(
        "splitmix64(x):  z = x + 0x9e3779b97f4a7c15\n"
        "                z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9\n"
        "                z = (z ^ (z >> 27)) * 0x94d049bb133111eb\n"
        "                z ^ (z >> 31)"
    )
    yield "Test vectors; levels are (ticks, lots):"
    yield table(
        ("bids", "asks", "hash"),
        ((side(levels, False), side(levels, True), f"`{expected:016x}`") for levels, expected in book.HASH_VECTORS),
    )


def side(levels: Iterable[tuple[int, int, bool]], is_ask: bool) -> str:
    return ", ".join(f"({ticks}, {lots})" for ticks, lots, of_ask in levels if of_ask is is_ask) or "-"


def after_title(module: Any) -> str:
    """A module's docstring without its first paragraph, its drawings as they are."""
    return code((module.__doc__ or "").partition("\n\n")[2])


def offset_rows(fields: Iterable[tuple[str, str, str]]) -> Iterator[tuple[object, ...]]:
    """Fields one after another, each with its offset; types as numpy writes them."""
    offset = 0
    for name, kind, meaning in fields:
        yield offset, f"`{name}`", kind, meaning
        offset += int(kind.lstrip("<=>|")[1:])


def counters() -> Iterator[str]:
    from alphapulse_cli.shm import counters as counted
    from alphapulse_cli.shm import histogram
    from alphapulse_cli.shm.block import BLOCK_HEAD_WORDS

    yield "# Counters"
    yield code((counted.__doc__ or "").partition("\n\n")[2])
    rows = (
        (BLOCK_HEAD_WORDS * 8 + member.value * 8, f"`{member.label}`", member.unit, member.meaning) for member in counted.Counter
    )
    yield table(("offset in the block", "counter", "unit", "meaning"), rows)
    yield "Histograms, behind the blocks, in this order:"
    yield table(("histogram", "meaning"), ((f"`{name}`", meaning) for name, meaning in counted.HISTOGRAMS))
    yield f"## A histogram, {histogram.HISTOGRAM_BYTES} bytes"
    yield after_title(histogram)


def errors() -> Iterator[str]:
    from alphapulse_cli import errors as raised

    yield "# Errors"
    yield "On stderr an error is `error: …`, then `hint: …` where there is a next thing to try. The exit code says which kind it was."
    yield "## Exit codes"
    yield table(("code", "name"), ((member.value, f"`{member.name}`") for member in raised.ExitCode))
    yield "## The tree"
    yield code((raised.__doc__ or "").partition("\n\n")[2])
    yield table(
        ("exception", "exit code", "what it means"),
        ((f"`{kind.__name__}`", int(kind.exit_code), first_paragraph(kind)) for kind in tree(raised.AlphapulseError)),
    )

    yield "## What ends a collector"
    yield (
        "`collect` is made to run for months: what may pass is waited for, at the start as in the middle. At the start each reason is told once; later each "
        "lost connection is. What trying again cannot change ends it at once, with a line that says why."
    )
    yield table(("what happens", "at the start", "once it has collected", "exit code"), ENDINGS)


# What happens; at the start; later; the exit code where it ends. tests/apps/collect/test_collect_start.py and tests/edges play most of them.
WAITS, AGAIN = "waits, and tries again", "books STALE, connects again"
ENDINGS = (
    ("maintenance: 5xx, 520, `EService:Unavailable`, a page in place of JSON", WAITS, AGAIN, ""),
    ("no network, no name server, nobody listening, a host that never answers", WAITS, AGAIN, ""),
    ("429, 418, any `Retry-After`", "waits as long as it says, and tells until when", "the same", ""),
    ("a list of instruments that cannot be understood", WAITS, "told, and asked for again", ""),
    ("451 or 403: not from this address", "ends", AGAIN, "6"),
    ("404: nothing at this path", "ends", AGAIN, "6"),
    ("a certificate that cannot be verified", "ends", AGAIN, "6"),
    ("no symbol of those asked for is listed", "ends", "the book is shown as it is; the others go on", "6"),
    ("one symbol of several is not listed", "ends at a terminal; elsewhere the rest is collected (`--skip-unlisted`)", "", "6"),
    ("another process collects the set", "ends before anything is asked for", "cannot happen: the set is held", "7"),
    ("an option, variable or file that cannot be right", "ends", "", "2"),
    ("no room for the segments", "ends", "that book HALTED, the others go on; a file cut short under it ends it", "1"),
    ("`--duration` is over", "ends; nothing came", "ends", "6; 0"),
    ("a wake page or a lock that is none of ours", "ends, saying what to remove", "", "1"),
    ("SIGTERM; SIGHUP, a closed terminal", "ends", "ends, segments retired", "0"),
    ("SIGINT, Ctrl-C; SIGQUIT", "ends", "ends, segments retired", "130"),
    ("a signal that it was started to ignore (`nohup`)", "goes on", "goes on", ""),
    ("a closed standard input", "goes on", "goes on; one that a parent of ours started ends, segments retired", "0"),
    ("a closed pipe behind its standard output", "ends at the first line", "the same, segments retired", "0"),
    (
        "a disk that is full behind its standard output, and a full pipe or stopped terminal",
        "lines are lost",
        "the same; collecting goes on",
        "",
    ),
    ("a standard error that nobody reads, or that is closed", "lines are lost", "the same, and their number is told later", ""),
    ("a clock that is set back or forward", "goes on", "goes on: only stamps are of that clock", ""),
    ("a feed that promises heartbeats and is mute", "", "books STALE after 3 s, connects again after 5 s", ""),
    ("messages that cannot be understood", WAITS, "books resynced; five in a row: connects again", ""),
    ("a symbol's subscription is refused", "that book HALTED or waiting, asked for again", "the same; the others go on", ""),
    ("its segments' files are removed or cut short", "", "removed: goes on unseen, as another may now begin; cut short: ends", "1"),
    ("a stop (SIGSTOP, Ctrl-Z)", "", "SILENT after 2 s; LIVE again once it goes on and the exchange is heard", ""),
    ("SIGKILL", "", "segments stay as they were: SILENT as soon as a heartbeat is late (0.15 s), at the latest after 2 s", ""),
    ("a mistake of ours", "ends with one line, `-v` shows where", "the same", "1"),
    ("of several exchanges one ends before it ever collected", "told; the others go on", "", "its own, when all have ended"),
    ("of several exchanges one dies later, or is killed", "", "started again, after ever longer pauses", ""),
    ("of several exchanges none was ever collected", "ends when the last has", "", "of the first"),
)


def tree(kind: type[Any]) -> Iterator[Any]:
    """The class and all below it that `errors.py` defines, depth first."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == kind.__module__:
            yield from tree(below)


def configuration() -> Iterator[str]:
    from alphapulse_cli.edges.config import layers

    yield "# Configuration"
    yield "A flag is stronger than an `ALPHAPULSE_*` variable, that than `./alphapulse.toml`, that than the user's file, that than the default."
    yield "`alphapulse config show` prints each value with its origin, `alphapulse config init` writes a commented file."
    heads = ("key", "variable", "type", "default", "meaning")
    yield table(
        heads, ((f"`{k.name}`", f"`{k.env()}`", k.kind.described, f"`{layers.toml(k.default)}`", k.help) for k in layers.KEYS)
    )
    yield "## `[exchange.NAME]`"
    yield table(
        heads,
        (
            (f"`{k.name}`", f"`{k.env('NAME')}`", k.kind.described, f"`{layers.toml(k.default)}`", k.help)
            for k in layers.EXCHANGE_KEYS
        ),
    )
    yield "In a variable's name, a dash of the exchange's name is an underscore: `ALPHAPULSE_BINANCE_US_URL`."
    yield "## `[command.NAME]`"
    yield (
        "Every option of every command has a variable and a key of its own, named after the command and the option's long name:"
        " `alphapulse tail deltas --count 5` is `ALPHAPULSE_TAIL_DELTAS_COUNT=5`, or"
    )
    yield "```toml\n[command.tail.deltas]\ncount = 5\nwait_for = true\n```"
    yield (
        "They are as strong as the flag where that is not given, and stronger than the general keys above; the variable is stronger than"
        " the files. A switch is `true` or `false` (in a variable also 1, 0, yes, no), a list is a list (in a variable with commas). A value"
        " that the option would refuse is refused with the name of the variable or the file. `alphapulse config` itself reads none of them."
    )


def _carried(facts: Any) -> str:
    """Sentence about the symbols that one connection carries."""
    both, books = facts.symbols_per_connection(("book", "trades")), facts.symbols_per_connection(("book",))
    if not both:
        return "One connection carries any number of symbols."
    return f"One connection carries {both} symbols with books and trades, or {books or 'any number'} with books alone; more symbols take more connections."


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
        yield f"Taker fee of the lowest tier: {facts.taker_fee or 'not said'}. {_carried(facts)}"
        if facts.quirks:
            yield "\n".join(f"- {quirk}" for quirk in facts.quirks)
    yield "## Refused by name"
    yield "\n".join(f"- `{name}`: {reason}" for name, reason in registry.REFUSED.items())


def simulators() -> Iterator[str]:
    from alphapulse_cli import exchanges as registry
    from alphapulse_cli.sim.exchange import NOT_SIMULATED

    yield "# Simulators"
    yield (
        "What `alphapulse sim` does not do, and what a client gets in its place: as said beside the code of each encoder. How to use them:"
        " [test a bot](../how-to/test-a-bot-against-the-simulators.md)."
    )
    heads = ("the real exchange has", "the simulator")
    yield "## All of them"
    yield table(heads, NOT_SIMULATED)
    for name in registry.BUILT_IN:
        exchange = registry.get(name)
        yield f"## {exchange.facts.title} (`{name}`)"
        yield table(heads, exchange.not_simulated) if exchange.not_simulated else "Nobody has listed it yet."


CLIENTS = TARGET / "clients.json"  # kept by scripts/clients.sh


def _check(check: Mapping[str, Any]) -> str:
    return f"{check['checked']}" + (f" ({check['detail']})" if check["detail"] else "")


def clients() -> Iterator[str]:
    yield "# Client libraries"
    yield (
        "Libraries from PyPI that were driven against the simulators, their hosts redirected by their own settings and nothing else"
        " changed, and what each verified there: books and trades are compared with the simulated market, number by number. Made by"
        " `scripts/clients.sh`, which runs it again."
    )
    rows = json.loads(CLIENTS.read_text()) if CLIENTS.exists() else []
    for library in dict.fromkeys(row["library"] for row in rows):
        ours = [row for row in rows if row["library"] == library]
        yield f"## {library} {ours[0]['version']}"
        yield table(
            ("exchange", "verified", "failed"),
            (
                (
                    row["exchange"],
                    "; ".join(_check(check) for check in row["checks"] if check["ok"]),
                    "; ".join(_check(check) for check in row["checks"] if not check["ok"]) or "-",
                )
                for row in ours
            ),
        )


PYTHON = (  # what a program of one's own may use: heading, the source that documents it, names
    ("The package: `import alphapulse_cli as ap`", "readers/api.py", ("follow", "DeltaReader", "TradeReader", "Book")),
    (
        "Columns of records: `ap.prices`, `ap.times`, …",
        "readers/columns.py",
        ("prices", "sizes", "price_decimals", "size_decimals", "times", "exchange_times", "feed_delays", "changes", "to_pandas"),
    ),
    ("What `follow` and `Book.read` give", "readers/api.py", ("Following", "FollowUpdate", "BookCopy")),
    ("Which orders a market takes: `ap.TradingStatus`", "market/trading_status.py", ("TradingStatus",)),
    ("A replica: `ap.Reconstructor`", "book/reconstruct.py", ("Reconstructor", "ColdReason")),
    ("An exact book: `update.book`, `Reconstructor.book`", "book/book.py", ("Book",)),
    (
        "Questions to an exact book: `alphapulse_cli.book.views`",
        "book/views.py",
        ("bbo", "mid", "spread_ticks", "spread_bps", "depth_lots", "imbalance", "depth_walk", "Bbo", "Walk"),
    ),
    ("The past, from captures: `ap.at`, `ap.replay`", "apps/past.py", ("at", "replay", "Replaying")),
    ("Datasets: `ap.load`", "apps/datasets.py", ("load", "Dataset")),
    ("Certificates: `ap.verify`", "apps/verify/api.py", ("verify",)),
    ("What a certificate holds", "apps/verify/certificate.py", ("Certificate", "SetCertificate", "BookCertificate")),
    ("Exports: `ap.export`", "apps/export/export.py", ("export", "Exported")),
    ("Candles: `ap.candles`", "apps/candles/api.py", ("candles",)),
    ("What a candle holds", "market/candles.py", ("Candle",)),
    ("Feed scorecards: `ap.feeds`", "readers/feeds.py", ("feeds", "FeedCard")),
    ("Arbitrage, live: `ap.arbitrage`", "apps/arb/api.py", ("arbitrage", "Opportunities")),
    ("Its policy: `ap.ArbitragePolicy`", "flow/arbitrage/candidate.py", ("ArbitragePolicy", "RejectReason")),
    (
        "Arbitrage over books of your own: `ap.ArbitrageDetector`",
        "flow/arbitrage/detector.py",
        ("ArbitrageDetector",),
    ),
    ("What is told of an opportunity", "flow/arbitrage/opportunity.py", ("Event", "Opportunity", "EventKind")),
    ("What a walk found: `event.finding`", "flow/arbitrage/depth_walk.py", ("DepthWalk", "End")),
    ("Client of `alphapulse serve`: `from alphapulse_cli import client`", "client/api.py", ("connect", "Stream", "follow")),
    ("What is wished of a server: `client.Wish`", "client/session.py", ("Wish",)),
    (
        "What a client is handed: `client.Update`, …",
        "client/items.py",
        ("RemoteBook", "Began", "Update", "Checked", "StateChanged", "Lost", "Restarted", "Broken", "Connected", "Disconnected"),
    ),
    ("Exact numbers", "flow/arbitrage/exact.py", ("Exact", "parse", "parse_fee", "rounded")),
)
WRITERS_OWN = frozenset(
    {"apply", "set", "merge", "reserve", "cut", "load", "replace", "load_sides", "clear", "room", "rebind", "rescale"}
)


def python() -> Iterator[str]:
    """Of the sources, not of the objects: a compiled core tells no signatures, and the page must be the same."""
    import alphapulse_cli
    from alphapulse_cli.wire import delta, trade

    package = Path(alphapulse_cli.__file__).parent
    yield "# Python"
    yield code((ast.get_docstring(ast.parse((package / "readers/api.py").read_text())) or "").partition("\n\n")[2])
    for heading, source, names in PYTHON:
        yield f"## {heading}"
        if source == "readers/columns.py":
            yield code((ast.get_docstring(ast.parse((package / source).read_text())) or "").partition("\n\n")[2])
        found = {node.name: node for node in ast.parse((package / source).read_text()).body if isinstance(node, DOCUMENTED)}
        for name in names:
            yield from documented(found[name], found, WRITERS_OWN if source == "book/book.py" else frozenset())
    for title, record in (("Delta", delta), ("Trade", trade)):
        dtype = record.dtype()
        yield f"## {title} records: `{record.__name__}.dtype()`, {dtype.itemsize} bytes"
        yield table(("field", "dtype", "shape"), numpy_rows(dtype))


DOCUMENTED = (ast.FunctionDef, ast.ClassDef)


def documented(node: Any, beside: Mapping[str, Any], left_out: Collection[str]) -> Iterator[str]:
    """A function, or a class with its public fields, methods and properties, its bases' too."""
    if isinstance(node, ast.FunctionDef):
        yield f"### `{node.name}{signature(node)}`"
        yield ast.get_docstring(node) or ""
        return
    bodies = [
        part
        for one in (*(beside[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in beside), node)
        for part in one.body
    ]
    methods = {part.name: part for part in bodies if isinstance(part, ast.FunctionDef)}
    yield f"### `{node.name}{signature(methods['__init__']) if '__init__' in methods else ''}`"
    yield ast.get_docstring(node) or ""
    fields = [f"`{part.target.id}`" for part in bodies if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    values = [
        f"`{part.targets[0].id}`" for part in bodies if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)
    ]
    if fields and "__init__" not in methods:
        yield "Fields: " + ", ".join(fields) + "."
    if values and "__init__" not in methods:
        yield "Values: " + ", ".join(values) + "."
    rows = [
        (f"`{name}{'' if is_property(method) else signature(method)}`", " ".join((ast.get_docstring(method) or "").split()))
        for name, method in methods.items()
        if not name.startswith("_") and name not in left_out
    ]
    if rows:
        yield table(("member", "what it does"), rows)


def is_property(method: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in method.decorator_list)


def signature(function: ast.FunctionDef) -> str:
    """As it is called: without `self` and without types, which the text says in words."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for one in every:
        one.annotation = None
    if arguments.vararg is not None:
        arguments.vararg.annotation = None
    arguments.args = [one for one in arguments.args if one.arg not in ("self", "cls")]
    return f"({ast.unparse(arguments)})"


def numpy_rows(dtype: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, (kind, *_) in dtype.fields.items():
        yield f"`{prefix}{name}`", kind.base.str if kind.base.fields is None else "a record", str(kind.shape or "")
        if kind.base.fields is not None:
            yield from numpy_rows(kind.base, f"{prefix}{name}.")


def performance() -> Iterator[str]:
    from alphapulse_cli.apps import bench
    from alphapulse_cli.apps.bench import compare, report
    from alphapulse_cli.cli.bench import human

    yield "# Performance"
    yield (
        "One run of `alphapulse bench`, on one machine, at one time. Times are medians and percentiles of the samples, smaller is better; a sample"
        " is what one of the calls that were timed together took. Only ratios may be compared: each is the median of the rounds, with their"
        " middle half behind it, to a reference that was measured between the samples. Measure yours: `alphapulse bench`."
    )
    yield "Another run takes its place with `scripts/docs.py --measure`. Where the time goes: [latency](../explanation/latency.md)."
    found = json.loads(MEASURED.read_text())
    yield code("\n".join(f"{key:<12}{value}" for key, value in found.items() if not isinstance(value, list)))
    for scenario, what in bench.SCENARIOS.items():
        rows = [row for row in found["results"] if row["scenario"] == scenario]
        if not rows:
            continue
        yield f"## {scenario}"
        yield f"{what[:1].upper()}{what[1:]}. `alphapulse bench {scenario}`"
        yield table(
            ("case", "p50", "p90", "p99", "p99.9", "max", "samples", "ratio", "of", "not in the number"),
            (
                (
                    row["case"],
                    *(human(row[key], row["unit"]) for key in ("p50", "p90", "p99", "p99_9", "max")),
                    f"{row['count']:,}",
                    f"{row['ratio']:g} ({row['ratio_low']:g} to {row['ratio_high']:g})",
                    f"{row['reference']}, {human(row['reference_p50'], row['unit'])}",
                    row["leaves_out"],
                )
                for row in rows
            ),
        )
    yield "## Targets"
    yield "`alphapulse bench --targets` judges by these, and ends with exit code 5 where one is missed."
    yield table(
        ("target", "reads", "measured", "outcome"),
        (
            (
                row["what"],
                f"{row['scenario']}, {row['case']}: {row['key']}" if row["scenario"] else "-",
                "-" if row["value"] is None else f"{row['value']:g}",
                row["outcome"] + (f": {row['reason']}" if row["reason"] else ""),
            )
            for row in found["targets"]
        ),
    )
    if found["left_out"]:
        yield "Not measured: " + "; ".join(f"{row['scenario']}, {row['case']} ({row['reason']})" for row in found["left_out"]) + "."
    yield "## The JSON"
    yield "`--json` prints one object, `--save FILE` keeps it, `--compare FILE` reads the ratios of one."
    yield table(("key", "type", "meaning"), ((f"`{f.name}`", f.type, f.meaning) for f in report.HEAD_FIELDS))
    yield "Each of `results`:"
    yield table(("key", "type", "meaning"), ((f"`{f.name}`", f.type, f.meaning) for f in report.RESULT_FIELDS))
    yield " ".join((compare.__doc__ or "").partition("\n\n")[2].split())


def metrics() -> Iterator[str]:
    from alphapulse_cli.apps.serve import metrics as exported
    from alphapulse_cli.apps.serve import own_metrics

    yield "# Metrics"
    yield (
        "What `alphapulse metrics` prints once and `alphapulse serve` answers on `/metrics`, in Prometheus' text format 0.0.4. A name, its"
        " labels and its meaning stay for a minor version; new ones may come with any."
    )
    drawing, _, rules = (exported.__doc__ or "").partition("\n\n")[2].partition("\n\n")
    yield code(drawing)
    yield rules.rstrip()
    yield metric_rows(exported.METRICS)
    bounds = [exported.BOUNDS[bucket] for bucket in exported.BUCKETS]
    yield f"The bounds of the histograms: {', '.join(bounds)} and +Inf."
    yield "## Of the server"
    yield (
        "`/metrics` of `alphapulse serve` has these as well, and `process_*` of prometheus_client: CPU, memory and descriptors of the server."
        " It needs the token, if there is one; on the address of `--metrics-bind` it needs none."
    )
    yield metric_rows(own_metrics.OWN_METRICS)


def metric_rows(metrics: Iterable[Any]) -> str:
    rows = ((f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.meaning) for one in metrics)
    return table(("metric", "kind", "labels", "meaning"), rows)


def scorecards() -> Iterator[str]:
    from alphapulse_cli.readers import feeds
    from alphapulse_cli.shm import scores

    yield "# Feed scorecards"
    yield "How to read them: [Read the scorecards](../how-to/read-the-scorecards.md). `alphapulse feeds --json` and `ap.feeds(...)` give cards:"
    yield table(("member", "meaning"), ((f"`{name}`", meaning) for name, meaning in feeds.MEANINGS.items()))
    yield "## The files"
    yield after_title(scores)
    yield (
        f"`<set>.scores` has layout {scores.MAJOR}.{scores.MINOR}; a row takes {scores.ROW_BYTES} bytes, {scores.MOST_ROWS} rows are the most. "
        f"`<set>.scores-past` holds {scores.MOST_CHECKPOINTS} checkpoints at most, of some hundred bytes a row. Another major is not read, and the "
        "next collector begins anew; scores of a newer minor stay as they are."
    )
    start = scores.SCORES_AT
    yield table(
        ("offset in the row", "score", "unit", "meaning"),
        (((start + one.value) * 8, f"`{one.label}`", one.unit, one.meaning) for one in scores.Score),
    )


SESSION = """\
```json
{"op":"subscribe","channel":"deltas","exchange":"kraken","symbol":"BTC-USD","id":1}
{"type":"subscribed","subscription":1,"channel":"deltas","set":"kraken","symbol":"BTC-USD","books":1,"id":1}
{"type":"snapshot","set":"kraken","symbol":"BTC-USD","epoch":1795910217,"version":812,"part":1,"parts":1,"bids":[["64000.1","0.5"]]}
{"type":"group","set":"kraken","symbol":"BTC-USD","kind":"DELTA","epoch":1795910217,"version":813,"prev_version":812,"changes":[["bid","64000.1","0"]]}
```

(The fields are not all shown.)

1. `exchange` and `symbol` may be patterns with `*` and `?`. Books that appear later are taken in too.
2. *deltas*: a whole `snapshot` replaces what the client has, whenever it comes. A `group` of kind DELTA whose `prev_version` is the client's version is applied
   whole: size 0 removes a level. A CHECK has the hash of the book ([how it is made](layouts.md)): a client can prove its copy.
3. A client that comes back gives the copies that it still has in `resume`. It is answered by `resumed` and the groups behind them, or by `not_resumed` and a
   `snapshot`. This works over a restart of the server for as long as the ring holds the groups; another writer has another epoch, and its books begin with a snapshot.
4. *trades*: what happens from now on. *bbo*, *book:N*, *status*: the value of now, then each change. *stats*: once a second.
5. `status` comes on every channel of a book when its state changes, also for a writer that died. Only a LIVE book may be believed.
6. `replay` marks what a replay writes: it is of the past."""


def websocket() -> Iterator[str]:
    from alphapulse_cli.apps.serve import deflate, gate, messages, topics
    from alphapulse_cli.apps.serve.clients import TOLD_WITHIN_S
    from alphapulse_cli.apps.serve.state import Limits
    from alphapulse_cli.apps.serve.stream import AUTH_WITHIN_S, PATHS
    from alphapulse_cli.wire import served

    limits = Limits()
    yield "# WebSocket"
    yield (
        f"What `alphapulse serve` speaks on port 8765, at {' or '.join(f'`{path}`' for path in PATHS)}: protocol {served.PROTOCOL}. To set it up:"
        " [Serve](../how-to/serve.md). Every message as JSON Schema: [websocket.schema.json](websocket.schema.json), which the tests hold"
        " the server to."
    )
    yield after_title(messages)
    yield "## A session"
    yield (
        "The server begins with `welcome`. The client sends requests, one object a message, and gets an answer to each, with its `id` if it had one. A field"
        " that is unknown is ignored; one that is missing or wrong is answered by an `error` that names it, and the connection goes on."
    )
    yield SESSION
    yield "## Encodings"
    yield table(
        ("subprotocol", "messages"),
        (
            (f"`{messages.Encoding.JSON.subprotocol}`, or none", "text frames with JSON"),
            (f"`{messages.Encoding.MSGPACK.subprotocol}`", "binary frames with MessagePack of the same objects; requests too"),
            (
                f"`{messages.Encoding.RAW.subprotocol}`",
                "groups, trades and snapshots as the [records](layouts.md) of shared memory in binary frames; all else, and requests, as JSON",
            ),
        ),
    )
    yield (
        f"A raw frame has {served.RAW_HEADER.size} bytes before its records, little-endian: type u8 ({served.RAW_GROUPS} one group,"
        f" {served.RAW_TRADES} one trade, {served.RAW_SNAPSHOT} a part of a snapshot), flags u8 (bit 0: a replay), part u16, parts u16,"
        " place u16 (of a trade: its sequence in the set's ring, modulo 65,536; else 0), epoch u64, name of the set in 32 bytes with NULs at the end."
        " A snapshot's records hold the levels as changes of one group with prev_version 0; behind its last part come a STATUS and a CHECK of that version."
    )
    yield "## Compression"
    yield (
        "With `serve --compress` the server agrees to permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)) where the handshake of a client asks for"
        " it: most libraries do, and browsers do. Without the option it never does. Each message is compressed by itself (server_no_context_takeover,"
        f" client_no_context_takeover, windows of {1 << deflate.WINDOW_BITS >> 10} KiB), once for all clients; one that is shorter than {deflate.LEAST_BYTES} bytes, or would not"
        " become smaller, is sent as it is. What a client sends may be inflated to the limit of a message (1009). On the REST port nothing is compressed."
    )
    yield "## Requests"
    for name, shape in messages.REQUESTS.items():
        yield f"### {name}"
        yield f"{shape.meaning[:1].upper()}{shape.meaning[1:]}."
        yield shape_rows(shape)
    yield "## Messages"
    for name, shape in messages.MESSAGES.items():
        yield f"### {name}"
        yield f"{shape.meaning[:1].upper()}{shape.meaning[1:]}."
        if shape.fields or shape.optional:
            yield shape_rows(shape)
    yield "## Slow clients"
    yield after_title(topics)
    yield (
        f"What the system has not taken for a client is at most `--queue` ({limits.queue_bytes >> 20} MiB) beside its snapshot in flight. Above a fourth of that,"
        " bbo, book:N and stats are conflated: of a value only the newest is kept. Above the bound the client is told (`error`, code `too_slow`) and closed with"
        f" 1013; if it does not read that within {TOLD_WITHIN_S:g} s, the connection is cut. Nobody else waits for it."
    )
    yield "## Close codes and limits"
    yield table(("code", "meaning"), ((str(code.value), meaning) for code, meaning in messages.CLOSE_MEANINGS.items()))
    yield table(
        ("what", "limit", "beyond it"),
        (
            ("clients", f"{limits.clients} (`--clients`)", "HTTP 503"),
            ("clients of an address", f"{limits.clients_per_address} (`--clients-per-address`)", "HTTP 429"),
            ("a client's message", f"{limits.message_bytes >> 10} KiB", "1009"),
            ("a client's messages", f"{limits.messages_at_once} at once, {limits.messages_per_s:g} a second", "1008"),
            ("its frames of all kinds, pings among them", f"{gate.FRAMES_AT_ONCE} at once, {gate.FRAMES_PER_S:g} a second", "1008"),
            ("connections without a handshake", gate.HALF_OPEN, "the oldest is cut off"),
            ("subscriptions of a client", str(limits.subscriptions), "`error`, code `limit`"),
            ("the token, where one is needed", f"within {AUTH_WITHIN_S:g} s", "1008"),
        ),
    )
    yield (
        "The token, where there is one: `Authorization: Bearer TOKEN` in the handshake, or the request `auth`. In an address it is refused (400), a wrong"
        " one gets 401 or 1008. Pages of other sites are refused (403) unless `--origin` allows them."
    )


def shape_rows(shape: Any) -> str:
    fields = [(name, *field, "") for name, field in shape.fields.items()]
    fields += [(name, *field, "optional") for name, field in shape.optional.items()]
    return table(
        ("field", "type", "", "meaning"), ((f"`{name}`", json_type(kind), may, meaning) for name, kind, meaning, may in fields)
    )


def json_type(kind: Mapping[str, Any]) -> str:
    if "anyOf" in kind:
        return " or ".join(json_type(one) for one in kind["anyOf"])
    if "const" in kind:
        return f"`{json.dumps(kind['const'])}`"
    if "enum" in kind:
        return ", ".join(f"`{one}`" for one in kind["enum"])
    if "pattern" in kind and kind["pattern"].startswith("^-?"):
        return "decimal text"
    words = {"string": "text", "array": "list", "boolean": "true or false", "object": "object", "null": "null"}
    types = kind["type"] if isinstance(kind["type"], list) else [kind["type"]]
    return " or ".join(str(words.get(one, one)) for one in types)


def rest() -> Iterator[str]:
    try:
        from alphapulse_cli.apps.serve import over_http
        from alphapulse_cli.apps.serve.rest import openapi_document
    except ModuleNotFoundError as absent:  # an extra: the page stays as it is where it is not installed
        print(f"docs/reference/rest.md was not looked at: {absent}; pip install 'alphapulse[serve]'", file=sys.stderr)
        yield from (TARGET / "rest.md").read_text().removeprefix(f"{MADE}\n\n").removesuffix("\n").split("\n\n")
        return
    document = openapi_document()
    schemas = document["components"]["schemas"]
    yield "# REST"
    yield (
        "What `alphapulse serve` answers on port 8080. The same as an OpenAPI 3.1 document: `/openapi.json`; to try it in a browser, without"
        " another host: `/docs`. Streams: [WebSocket](websocket.md); for Prometheus: [metrics](metrics.md)."
    )
    yield document["info"]["description"].rstrip()
    operations = [(path, operation) for path, of_path in document["paths"].items() for operation in of_path.values()]
    for tag in dict.fromkeys(operation["tags"][0] for _, operation in operations):
        yield f"## {tag[:1].upper()}{tag[1:]}"
        for path, operation in operations:
            if operation["tags"][0] == tag:
                yield f"### GET {path}"
                yield " ".join(operation["description"].split())
                if operation.get("parameters"):
                    yield table(("parameter", "type", "default", "meaning"), map(parameter_cells, operation["parameters"]))
                answers = {status: one["content"] for status, one in operation["responses"].items() if one.get("content")}
                kind, content = next(iter(answers["200"].items()))
                errors = ", ".join(sorted(operation["responses"].keys() - {"200"}))
                answer = (
                    schema_words(content["schema"])
                    if kind == "application/json"
                    else f"{kind}: {operation['responses']['200']['description']}"
                )
                yield f"Answer: {answer}." + (f" Other statuses: {errors}." if errors else "")
    yield "## Stream"
    yield (
        f"`ws://…{over_http.PATH}` is the [WebSocket](websocket.md) side on the REST port: the same clients, messages, encodings and limits. With"
        f" `?exchange=kraken&symbol=BTC-USD` a client is subscribed to those deltas at once."
    )
    yield "## Answers"
    for name, schema in schemas.items():
        yield f"### {name}"
        yield " ".join(schema["description"].split())
        cells = (
            (f"`{field}`", schema_words(one), one.get("description", ""), example_of(one))
            for field, one in schema["properties"].items()
        )
        yield table(("field", "type", "meaning", "example"), cells)


def parameter_cells(parameter: Mapping[str, Any]) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    default = f"`{schema['default']}`" if schema.get("default") not in (None, "") else "" if "default" in schema else "needed"
    bounds = "".join(
        f", {word} {schema[key]:,}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in schema
    )
    return f"`{parameter['name']}`", schema_words(schema) + bounds, default, parameter.get("description", "")


def schema_words(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words: "text or null", "list of [SetRow](#setrow)"."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(schema_words, schema["anyOf"]))
    if schema["type"] == "array":
        return "[price, size]" if "prefixItems" in schema else f"list of {schema_words(schema['items'])}"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
    return "decimal text" if "pattern" in schema else words[schema["type"]]


def example_of(schema: Mapping[str, Any]) -> str:
    return f"`{json.dumps(schema['examples'][0])}`" if schema.get("examples") else ""


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "clients.md": clients,
    "commands.md": commands,
    "configuration.md": configuration,
    "counters.md": counters,
    "errors.md": errors,
    "exchanges.md": exchanges,
    "layouts.md": layouts,
    "metrics.md": metrics,
    "python.md": python,
    "rest.md": rest,
    "scorecards.md": scorecards,
    "simulators.md": simulators,
    "tables.md": tables,
    "websocket.md": websocket,
    "performance.md": performance,
}


def index() -> Iterator[str]:
    yield "# Reference"
    titles = {name: next(iter(page())).lstrip("# ") for name, page in PAGES.items()} | BY_HAND
    yield "\n".join(f"- [{title}]({name})" for name, title in titles.items())


def made() -> dict[str, str]:
    """Every page's text, by its file's name."""
    from alphapulse_cli.apps.serve.messages import schema

    pages = {"README.md": index, **PAGES}
    texts = {name: "\n\n".join([MADE, *page()]) + "\n" for name, page in pages.items()}
    return {**texts, "websocket.schema.json": json.dumps(schema(), indent=1) + "\n"}


def measure() -> None:
    """The whole benchmark, here and now. A missed target is news for the page, no reason to keep the old run."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "alphapulse_cli", *MEASURE, str(MEASURED)], stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in (0, 5):
        sys.exit(done.returncode)
    print(f"wrote docs/reference/{MEASURED.name}")


def write_manual(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in manual_pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")
    return 0


def main() -> int:
    if "--man" in sys.argv:
        following = sys.argv[sys.argv.index("--man") + 1 :]
        return (
            write_manual(Path(following[0]))
            if following
            else sys.exit("error: --man needs a folder\nhint: --man ~/.local/share/man/man1")
        )
    if "--measure" in sys.argv:
        measure()
    pages = made()
    stale = [name for name, text in pages.items() if not (TARGET / name).is_file() or (TARGET / name).read_text() != text]
    left = sorted(path.name for path in TARGET.glob("*.md") if path.name not in {*pages, *BY_HAND})
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
