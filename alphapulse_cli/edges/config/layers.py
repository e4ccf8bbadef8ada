"""Configuration in layers, and where each value came from.

    flag  >  ALPHAPULSE_* environment  >  ./alphapulse.toml  >  user config  >  default

`KEYS` is the one table of what can be set, `EXCHANGE_KEYS` of what each `[exchange.NAME]` section holds; the environment's names,
the types, the help, the commented file that `config init` writes and the reference page all derive from the two. The first layer
that has a key decides it; lists replace, they are never merged.

A key that nobody knows, or a value of the wrong type, is a UsageError that names the file, the key and the nearest known one:
a misspelt setting that silently does nothing is how a desk collects the wrong book for a week.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from alphapulse_cli import exchanges
from alphapulse_cli.edges import paths
from alphapulse_cli.edges.config import value_types
from alphapulse_cli.errors import UsageError

PREFIX = "ALPHAPULSE_"
OTHER_VARIABLES = frozenset(  # of the build, the scripts and the tests
    PREFIX + name for name in ("BUILD", "VENV", "EXPECT", "RECORDED", "RENEW", "SOURCE_HASH", "COMPLETE")
)
PROJECT_FILE = "alphapulse.toml"
LARGEST_FILE_BYTES = 1 << 20
DEFAULT_SYMBOLS = ("BTC-USD", "ETH-USD")
DEFAULT_RING_RECORDS = 16_384


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be set."""

    name: str
    kind: value_types.Kind
    default: Any
    help: str

    def env(self, exchange: str = "") -> str:
        """The environment variable that sets it: ALPHAPULSE_DEPTH, ALPHAPULSE_BINANCE_US_URL."""
        return (PREFIX + (f"{exchange}_" if exchange else "") + self.name).upper().replace("-", "_")


KEYS = (
    Key(
        "shm_dir",
        value_types.PATH,
        "",
        "directory of the segments; empty: /dev/shm/alphapulse-<uid>, or the system's temporary directory",
    ),
    Key("exchanges", value_types.NAMES, (), "exchanges to collect when --exchange is not given"),
    Key("symbols", value_types.SYMBOLS, DEFAULT_SYMBOLS, "symbols to collect; kraken:BTC-USD means one exchange only"),
    Key("channels", value_types.CHANNELS, ("book", "trades"), "what to collect of each symbol"),
    Key("depth", value_types.COUNT, 0, "levels per side to collect; 0: as deep as the exchange's default"),
    Key("ring_records", value_types.POWER_OF_TWO, DEFAULT_RING_RECORDS, "capacity of each ring in records, a power of two"),
    Key(
        "transport",
        value_types.TRANSPORT,
        "auto",
        "the WebSocket library of `collect`; auto: picows where the extra `fast` is installed",
    ),
    Key(
        "skip_unlisted",
        value_types.SKIPPING,
        "auto",
        "collect the rest where an exchange does not list all symbols; auto: always, but for a person at a terminal",
    ),
    Key(
        "checksum",
        value_types.CHECKSUM,
        "strict",
        "books whose snapshots their own checksum always refutes: strict, not LIVE; warn, LIVE but said to be unverified",
    ),
    Key("format", value_types.FORMAT, "auto", "how readers print; auto: a table on a terminal, json in a pipe"),
    Key("local", value_types.TRUTH, False, "times of tables in this machine's zone, with its offset, instead of UTC"),
    Key("wait", value_types.WAIT, "wake", "how a reader waits for the next record; spin is fastest and costs a core"),
    Key("log_level", value_types.LOG_LEVEL, "warning", "what is said on stderr; -v and -q change it for one command"),
    Key(
        "on_alarm",
        value_types.COMMAND,
        (),
        "command that the live screen runs when an alarm is passed, with what happened as last argument",
    ),
    Key("color", value_types.COLOR, "auto", "colour: auto follows the terminal, NO_COLOR and FORCE_COLOR"),
)
EXCHANGE_KEYS = (
    Key("url", value_types.WEBSOCKET_URL, "", "WebSocket address instead of the exchange's own: a simulator, a proxy"),
    Key("rest_url", value_types.REST_URL, "", "REST address instead of the exchange's own"),
    Key("mode", value_types.TEXT, "", "the feed to use, as `alphapulse exchanges` lists them; empty: the first"),
    Key("depth", value_types.COUNT, 0, "levels per side to collect from this exchange; 0: the general depth"),
    Key("taker_fee", value_types.FEE, "", "your taker fee as a fraction, 0.0026 for 0.26 %; empty: the exchange's lowest tier"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it came from: "flag", "ALPHAPULSE_DEPTH", a file's path, or "default"."""

    key: str  # "depth", "exchange.kraken.url"
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All values after the layers were laid upon each other."""

    values: Mapping[str, Value] = field(default_factory=dict)
    commands: tuple[
        tuple[str, Mapping[str, Any]], ...
    ] = ()  # the files' `command` sections, unread: the stronger first, with its path

    def get(self, name: str, exchange: str = "") -> Any:
        """The value of a key, of an exchange's section if `exchange` is given. KeyError for what is not in the tables."""
        return self.values[dotted(name, exchange)].value

    def origin(self, name: str, exchange: str = "") -> str:
        """Where the value came from."""
        return self.values[dotted(name, exchange)].origin

    def choose(self, name: str, flag: Any, exchange: str = "") -> Any:
        """The flag if one was given (not None, not an empty list), else the configured value."""
        return self.get(name, exchange) if flag is None or flag in ((), []) else flag

    def __iter__(self) -> Iterator[Value]:
        """All values in the tables' order."""
        return iter(self.values.values())


def dotted(name: str, exchange: str = "") -> str:
    """The key as it is written in messages: "exchange.kraken.url"."""
    return f"exchange.{exchange}.{name}" if exchange else name


def known() -> Iterator[tuple[Key, str]]:
    """Every key, with the exchange whose section it stands in or ""."""
    for key in KEYS:
        yield key, ""
    for exchange in exchanges.names():
        for key in EXCHANGE_KEYS:
            yield key, exchange


def user_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """$XDG_CONFIG_HOME/alphapulse/config.toml, or below ~/.config where that is not set (or not absolute, as XDG says); None without a home."""
    directory = paths.user_directory(paths.CONFIG, environ)
    return None if directory is None else directory / "config.toml"


def load(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> Settings:
    """Read all layers below the flags. UsageError for an unknown key, a wrong type, or a file that is not TOML."""
    found: dict[str, Value] = {}
    files = [file for file in ((directory or Path.cwd()) / PROJECT_FILE, user_file(environ)) if file is not None]
    documents = [(file, _read(file)) for file in files]  # the stronger first
    commands = tuple((str(file), _commands(document, file)) for file, document in documents)
    of_files = chain.from_iterable(_from_document(document, file) for file, document in documents)
    for value in chain(_from_environment(environ), of_files):
        found.setdefault(value.key, value)
    names = ((key, dotted(key.name, exchange)) for key, exchange in known())
    return Settings({name: found.get(name) or Value(name, key.default, "default") for key, name in names}, commands)


def misspelt(
    options_like: Callable[[str], Iterable[str]] = lambda _: (), environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str]]:
    """Each ALPHAPULSE_* variable that sets nothing, with the nearest that would ("" where none is near).

    `options_like`: the variables of a command's options, where a name may be meant for one.
    """
    names = [key.env(exchange) for key, exchange in known()]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names and name not in OTHER_VARIABLES:
            further = list(options_like(name))
            if name not in further:
                short = [one.removeprefix(PREFIX) for one in (*names, *further)]
                near = difflib.get_close_matches(name.removeprefix(PREFIX), short, n=1)
                yield name, PREFIX + near[0] if near else ""


def _from_environment(environ: Mapping[str, str]) -> Iterator[Value]:
    for key, exchange in known():
        text = environ.get(key.env(exchange))
        if text is not None:  # set but empty is a value: it undoes what a file says
            yield Value(dotted(key.name, exchange), _checked(key.kind.of_text, text, key, key.env(exchange)), key.env(exchange))


def _commands(document: dict[str, Any], path: Path) -> Mapping[str, Any]:
    """The document's `command` sections, taken out of it; what they may hold is for the commands to say."""
    sections = document.pop("command", {})
    if not isinstance(sections, dict) or not all(isinstance(table, dict) for table in sections.values()):
        raise UsageError(
            f"{path}: `command` must be sections, not {value_types.described(sections)}", "write [command.tail.deltas]"
        )
    return sections


def _from_document(document: dict[str, Any], path: Path) -> Iterator[Value]:
    sections = document.pop("exchange", {})
    if not isinstance(sections, dict):
        raise UsageError(f"{path}: `exchange` must be sections, not {value_types.described(sections)}", "write [exchange.kraken]")
    yield from _from_table(document, KEYS, path, "")
    for exchange, table in sections.items():
        if exchange not in exchanges.names():
            raise UsageError(
                f"{path}: unknown exchange {exchange!r} in [exchange.{exchange}]", nearest(exchange, exchanges.names())
            )
        if not isinstance(table, dict):
            raise UsageError(f"{path}: exchange.{exchange} must be a section", f"write [exchange.{exchange}]")
        yield from _from_table(table, EXCHANGE_KEYS, path, exchange)


def _from_table(table: Mapping[str, Any], keys: tuple[Key, ...], path: Path, exchange: str) -> Iterator[Value]:
    by_name = {key.name: key for key in keys}
    for name, given in table.items():
        key = by_name.get(name)
        if key is None:
            raise UsageError(f"{path}: unknown key {dotted(name, exchange)!r}", nearest(name, by_name))
        yield Value(dotted(name, exchange), _checked(key.kind.of_toml, given, key, f"{path}: {dotted(name, exchange)}"), str(path))


def _checked(convert: Callable[[Any], Any], given: Any, key: Key, where: str) -> Any:
    try:
        return convert(given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", f"{key.name} is {key.kind.described}: {key.help}") from None


def _read(path: Path) -> dict[str, Any]:
    """The file as TOML, {} where there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if not paths.is_visible(path):  # in somebody else's home, as a container's uid may be told to look there
            return {}
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > LARGEST_FILE_BYTES:
        raise UsageError(f"{path}: larger than {LARGEST_FILE_BYTES:,} bytes, no configuration")
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}", "`alphapulse config init` writes a commented file to begin with") from None


def template() -> str:
    """A commented file: every key with its help and default, commented out."""
    lines = [
        "# alphapulse configuration. A flag or an ALPHAPULSE_* variable is stronger; `alphapulse config show` tells what holds.",
        "# Each option of each command may be set as well, in a section such as [command.tail.deltas] with keys such as count and from.",
        "",
    ]
    for key in KEYS:
        lines += _explained(key)
    for exchange in exchanges.names():
        lines += [f"# [exchange.{exchange}]", ""]
        for key in EXCHANGE_KEYS:
            lines += _explained(key, exchange)
    return "\n".join(lines)


def _explained(key: Key, exchange: str = "") -> list[str]:
    return [f"# {key.help} ({key.kind.described}; {key.env(exchange)})", f"# {key.name} = {toml(key.default)}", ""]


def toml(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def nearest(name: str, known_names: Any) -> str:
    """A hint: the nearest of the known names, or all of them where none is near."""
    names = list(known_names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
