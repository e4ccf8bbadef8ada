"""Configuration in layers, with the origin of each value.

    flag  >  ALPHAPULSE_* environment  >  ./alphapulse.toml  >  user config  >  default

`KEYS` is the table of all keys, `EXCHANGE_KEYS` that of each `[exchange.NAME]` section. The names of variables, the types, the
help, the commented file of `config init` and the reference page derive from the two tables. The first layer that has a key decides
its value; lists are replaced, never merged.

An unknown key or a value of the wrong type is a UsageError that names the file, the key and the nearest known one. A misspelt
setting without effect could make a desk collect the wrong book for a week.
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
OTHER_VARIABLES = frozenset(  # variables of the build, the scripts and the tests
    PREFIX + name for name in ("BUILD", "VENV", "EXPECT", "RECORDED", "RENEW", "SOURCE_HASH", "COMPLETE", "CAMPAIGNS", "CLIENTS")
)
PROJECT_FILE = "alphapulse.toml"
LARGEST_FILE_BYTES = 1 << 20
MASK = "***"
DEFAULT_SYMBOLS = ("BTC-USD", "ETH-USD")


@dataclass(frozen=True, slots=True)
class Key:
    """A configuration key: its name, type, default and help."""

    name: str
    kind: value_types.ValueType
    default: Any
    help: str
    is_secret: bool = False  # `config show` tells only whether it is set

    def env(self, exchange: str = "") -> str:
        """Name of the key's environment variable: ALPHAPULSE_DEPTH, ALPHAPULSE_BINANCE_US_URL."""
        return (PREFIX + (f"{exchange}_" if exchange else "") + self.name).upper().replace("-", "_")


KEYS = (
    Key(
        "shm_dir",
        value_types.PATH,
        "",
        "directory of the segments; empty: /dev/shm/alphapulse-<uid>, or the system's temporary directory",
    ),
    Key("exchanges", value_types.NAMES, (), "exchanges to collect when --exchange is not given"),
    Key(
        "symbols",
        value_types.SYMBOLS,
        DEFAULT_SYMBOLS,
        "symbols to collect, patterns such as *-USD, or top:50; kraken:BTC-USD means one exchange only",
    ),
    Key("channels", value_types.CHANNELS, ("book", "trades"), "what to collect of each symbol"),
    Key("depth", value_types.COUNT, 0, "levels per side to collect; 0: the exchange's default"),
    Key(
        "ring_records",
        value_types.POWER_OF_TWO,
        0,
        "capacity of each ring in records; 0: 256 for each symbol, rounded up to a power of two, at least 16384 and at most 1048576",
    ),
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
        "where an exchange does not list all symbols, collect the others; auto: refuse on a terminal, collect the others elsewhere",
    ),
    Key(
        "checksum",
        value_types.CHECKSUM,
        "strict",
        "books whose snapshots never match the exchange's checksum: strict, never LIVE; warn, LIVE but marked unverified",
    ),
    Key("capture", value_types.PATH, "", "folder in which `collect` captures all that it receives and sends; empty: none"),
    Key("rotate", value_types.ROTATION, "1h", "when a capture's file ends: a duration, a size, or both with a comma"),
    Key("keep", value_types.KEEP, "", "age and size beyond which a set's oldest captures are deleted; empty: none are"),
    Key(
        "least_free",
        value_types.LEAST_FREE,
        "5%,1GiB",
        "what must be free of a disk, or nothing is captured or recorded; 0: fill it",
    ),
    Key(
        "last_frames",
        value_types.LAST_FRAMES,
        "30s,8MiB",
        "what each collector keeps in memory of the frames it received last, for `capture last`; off: none",
    ),
    Key("format", value_types.FORMAT, "auto", "how readers print; auto: a table on a terminal, json in a pipe"),
    Key("local", value_types.TRUTH, False, "times in tables in local time with its offset, instead of UTC"),
    Key("wait", value_types.WAIT, "wake", "how a reader waits for the next record; spin is fastest and costs a core"),
    Key("log_level", value_types.LOG_LEVEL, "warning", "least level of the log on stderr; -v and -q change it for one command"),
    Key(
        "serve_token",
        value_types.TOKEN,
        "",
        "token that clients of `serve` must give; --token-file of `serve` names a file instead; empty: none is needed",
        is_secret=True,
    ),
    Key(
        "on_alarm",
        value_types.COMMAND,
        (),
        "command that the live screen runs when an alarm is raised, with a sentence about it as last argument",
    ),
    Key("color", value_types.COLOR, "auto", "colour: auto follows the terminal, NO_COLOR and FORCE_COLOR"),
)
EXCHANGE_KEYS = (
    Key("url", value_types.WEBSOCKET_URL, "", "WebSocket address instead of the exchange's own: a simulator, a proxy"),
    Key("rest_url", value_types.REST_URL, "", "REST address instead of the exchange's own"),
    Key("mode", value_types.TEXT, "", "feed to use, as listed by `alphapulse exchanges`; empty: the first"),
    Key("depth", value_types.COUNT, 0, "levels per side to collect from this exchange; 0: the general depth"),
    Key("taker_fee", value_types.FEE, "", "your taker fee as a fraction, 0.0026 for 0.26 %; empty: the exchange's lowest tier"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A configured value and its origin: a variable's name, a file's path, or "default"."""

    key: str  # "depth", "exchange.kraken.url"
    value: Any
    origin: str
    is_secret: bool = False

    @property
    def shown(self) -> Any:
        """Value for people: a secret is masked."""
        return MASK if self.is_secret and self.value else self.value


@dataclass(frozen=True, slots=True)
class Settings:
    """All configured values, after the layers are combined."""

    values: Mapping[str, Value] = field(default_factory=dict)
    commands: tuple[
        tuple[str, Mapping[str, Any]], ...
    ] = ()  # (path, its `command` sections, unchecked), the file with precedence first

    def get(self, name: str, exchange: str = "") -> Any:
        """Value of a key; of a key in an exchange's section if `exchange` is given.

        KeyError for a key or exchange not in the tables.
        """
        return self.values[dotted(name, exchange)].value

    def origin(self, name: str, exchange: str = "") -> str:
        """Origin of a key's value."""
        return self.values[dotted(name, exchange)].origin

    def choose(self, name: str, flag: Any, exchange: str = "") -> Any:
        """Value of the flag if one was given (not None, not an empty list), else the configured value."""
        return self.get(name, exchange) if flag is None or flag in ((), []) else flag

    def __iter__(self) -> Iterator[Value]:
        """Iterate over all values in the order of the tables."""
        return iter(self.values.values())


def dotted(name: str, exchange: str = "") -> str:
    """Dotted name of a key, as in messages: "exchange.kraken.url"."""
    return f"exchange.{exchange}.{name}" if exchange else name


def known() -> Iterator[tuple[Key, str]]:
    """Iterate over all keys, each with the exchange of its section or ""."""
    for key in KEYS:
        yield key, ""
    for exchange in exchanges.names():
        for key in EXCHANGE_KEYS:
            yield key, exchange


def user_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Path of the user's file: $XDG_CONFIG_HOME/alphapulse/config.toml; None for a user without a home directory.

    ~/.config takes the variable's place where it is not set or not absolute (XDG Base Directory Specification).
    """
    directory = paths.user_directory(paths.CONFIG, environ)
    return None if directory is None else directory / "config.toml"


def load(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> Settings:
    """Read all layers below the flags. UsageError for an unknown key, a wrong type, or a file that is not TOML."""
    found: dict[str, Value] = {}
    files = [file for file in ((directory or Path.cwd()) / PROJECT_FILE, user_file(environ)) if file is not None]
    documents = [(file, _read(file)) for file in files]  # the file with precedence first
    commands = tuple((str(file), _commands(document, file)) for file, document in documents)
    of_files = chain.from_iterable(_from_document(document, file) for file, document in documents)
    for value in chain(_from_environment(environ), of_files):
        found.setdefault(value.key, value)
    names = ((key, dotted(key.name, exchange)) for key, exchange in known())
    return Settings({name: found.get(name) or Value(name, key.default, "default", key.is_secret) for key, name in names}, commands)


def misspelt(
    options_like: Callable[[str], Iterable[str]] = lambda _: (), environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str]]:
    """Iterate over ALPHAPULSE_* variables that set nothing, each with the nearest known one ("" where none is near).

    `options_like` returns the variables of the command that a name begins with.
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
        if text is not None:  # an empty variable is a value, which replaces that of a file
            yield Value(
                dotted(key.name, exchange),
                _checked(key.kind.of_text, text, key, key.env(exchange)),
                key.env(exchange),
                key.is_secret,
            )


def _commands(document: dict[str, Any], path: Path) -> Mapping[str, Any]:
    """Take the `command` sections out of the document, unchecked: the commands check them. UsageError for other values."""
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
        yield Value(
            dotted(name, exchange),
            _checked(key.kind.of_toml, given, key, f"{path}: {dotted(name, exchange)}"),
            str(path),
            key.is_secret,
        )


def _checked(convert: Callable[[Any], Any], given: Any, key: Key, where: str) -> Any:
    try:
        return convert(given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", f"{key.name} is {key.kind.described}: {key.help}") from None


def _read(path: Path) -> dict[str, Any]:
    """Parse the file as TOML; {} if there is none. UsageError for an unreadable, too large or invalid file."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if not paths.is_visible(path):  # in another user's home, where a container's uid may be sent to look
            return {}
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > LARGEST_FILE_BYTES:
        raise UsageError(f"{path}: not a configuration: larger than {LARGEST_FILE_BYTES:,} bytes")
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}", "`alphapulse config init` writes a commented file to begin with") from None


def template() -> str:
    """Text of a configuration file with every key, its help and its default, commented out."""
    lines = [
        "# alphapulse configuration. Flags and ALPHAPULSE_* variables take precedence; `alphapulse config show` shows all values.",
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
    """TOML text of a default."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def nearest(name: str, known_names: Any) -> str:
    """Hint for an unknown name: the nearest known one, or all of them where none is near."""
    names = list(known_names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
