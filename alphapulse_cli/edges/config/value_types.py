"""Types of configured values: each converts the text of an environment variable or a value of a TOML file.

Both give the same Python value, or a ValueError that says in one line why the value is wrong.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alphapulse_cli.edges.capture import keeping
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.choice import understood_choice

LARGEST_COUNT = 1 << 31
MOST_ARGUMENTS = 64


@dataclass(frozen=True, slots=True)
class ValueType:
    """Type of a configured value: its name for messages, its conversions from text and from TOML (ValueError), its choices."""

    described: str  # "a whole number"
    of_text: Callable[[str], Any]
    of_toml: Callable[[Any], Any]
    choices: tuple[str, ...] = ()


def described(value: Any) -> str:
    """Description of a TOML value for messages: its type in words and the value."""
    names = {bool: "the boolean", int: "the number", float: "the number", str: "the text", list: "the list", dict: "the section"}
    return f"{names.get(type(value), 'the value')} {str(value)[:40]!r}"


def _only(wanted: type, words: str, then: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a conversion that accepts TOML values of one type only; a boolean is not a number."""

    def check(value: Any) -> Any:
        if type(value) is not wanted:
            raise ValueError(f"expected {words}, got {described(value)}")
        return then(value)

    return check


def _of_string(words: str, then: Callable[[str], Any], choices: tuple[str, ...] = ()) -> ValueType:
    return ValueType(words, then, _only(str, words, then), choices)


def _of_choices(*choices: str) -> ValueType:
    words = "one of " + ", ".join(choices)

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {words}, got {text[:40]!r}")
        return text

    return _of_string(words, check, choices)


def _of_list(words: str, item: Callable[[str], str], *, may_be_empty: bool = False) -> ValueType:
    """Make the type of a list: of strings in TOML, with commas in a variable. Each part must be an `item`."""

    def checked(parts: Sequence[str]) -> tuple[str, ...]:
        if not parts and not may_be_empty:
            raise ValueError(f"expected {words}, got an empty one")
        return tuple(map(item, parts))

    def of_text(text: str) -> tuple[str, ...]:
        return checked([part.strip() for part in text.split(",")] if text.strip() else [])

    def of_toml(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise ValueError(f"expected {words}, got {described(value)}")
        return checked(value)

    return ValueType(words, of_text, of_toml)


def count(text: str) -> int:
    """Parse a whole number from 0 up, below 2**31. ValueError for other texts, also for "1_0" and " 1", which `int` accepts."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < LARGEST_COUNT):
        raise ValueError(f"expected a whole number from 0 up, got {text[:40]!r}")
    return int(text)


def power_of_two(text: str) -> int:
    """Parse a power of two from 64 up, or 0. ValueError for other numbers."""
    number = count(text)
    if number and (number < 64 or number & (number - 1)):
        raise ValueError(f"expected a power of two from 64 up, or 0, got {number}")
    return number


def truth(text: str) -> bool:
    """Parse a boolean: 1, true, yes, on; 0, false, no, off or "" for False. ValueError for other texts."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"expected true or false, got {text[:40]!r}")


def fee(text: str) -> str:
    """Check a decimal fraction below 1 and above -1, kept as text (money is never a float); "" for none.

    ValueError for other texts.
    """
    if text and not re.fullmatch(r"-?0(\.[0-9]{1,12})?", text):
        raise ValueError(f"expected a decimal fraction such as 0.0026, got {text[:40]!r}")
    return text


def exchange_name(text: str) -> str:
    """Check the form of an exchange's name; the registry is asked later. ValueError for other texts."""
    if not re.fullmatch(r"[a-z0-9-]{1,16}", text):
        raise ValueError(f"expected an exchange's name, got {text[:40]!r}")
    return text


def symbol(text: str) -> str:
    """Canonical choice: a symbol of any notation ("btc/usd"), a pattern or top:N. ValueError for other texts."""
    try:
        return understood_choice(text)
    except UsageError as error:
        raise ValueError(f"{error}; {error.hint}") from None


def _url(*schemes: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text and not re.fullmatch(rf"({'|'.join(schemes)})://[^\s/\x00-\x1f]+\S*", text):
            raise ValueError(f"expected an address beginning with {' or '.join(f'{s}://' for s in schemes)}, got {text[:80]!r}")
        return text

    return check


def _channel(text: str) -> str:
    if text not in ("book", "trades"):
        raise ValueError(f"expected book or trades, got {text[:40]!r}")
    return text


def _path(text: str) -> str:
    return os.path.expanduser(text)  # noqa: PTH111 - an unknown ~user stays as it is, where Path would raise


def _command(parts: Any) -> tuple[str, ...]:
    """Check a program and its arguments; an empty list means no command. ValueError for an empty program or a NUL character."""
    command = tuple(parts)
    if len(command) > MOST_ARGUMENTS:
        raise ValueError(f"expected at most {MOST_ARGUMENTS} arguments, got {len(command)}")
    if command and not command[0]:
        raise ValueError("expected a program's name first, got an empty one")
    if any("\0" in part for part in command):
        raise ValueError("expected arguments without a NUL character")
    return command


def _command_of_text(text: str) -> tuple[str, ...]:
    """Split a command into words as a shell does, without expansions. ValueError for an open quote."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"expected a command, got {text[:40]!r}: {str(error).lower()}") from None
    return _command(parts)


def _command_of_toml(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"expected a program and its arguments as a list of strings, got {described(value)}")
    return _command(value)


CHECKSUM_WORDS = ("strict", "warn")


def checksum_rules(text: str) -> dict[str, str]:
    """Rules by symbol, {"kraken:BTC-USD": "warn"}, of "kraken:BTC-USD=warn"; the key "" is for all symbols.

    ValueError for another word than strict or warn, or a text that is no symbol.
    """
    rules: dict[str, str] = {}
    for part in map(str.strip, text.split(",")):
        name, equals, word = part.rpartition("=")
        if word not in CHECKSUM_WORDS or (equals and not name):
            raise ValueError(f"expected {' or '.join(CHECKSUM_WORDS)}, or SYMBOL=warn, got {part[:40]!r}")
        rules[symbol(name) if name else ""] = word
    return rules


def _checksum(text: str) -> str:
    checksum_rules(text)
    return text


def _checksum_of_toml(value: Any) -> str:
    if type(value) is dict and all(type(word) is str for word in value.values()):
        return _checksum(",".join(f"{name}={word}" for name, word in value.items()))
    if type(value) is not str:
        raise ValueError(f"expected strict, warn, or a table of symbols, got {described(value)}")
    return _checksum(value)


MOST_TOKEN = 1024


def token(text: str) -> str:
    """Secret text that a header can carry, or "" for none. ValueError, which does not show it, for any other."""
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > MOST_TOKEN:
        raise ValueError(f"not a token: 1 to {MOST_TOKEN} visible ASCII characters without spaces")
    return text


def _token_of_toml(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text in quotes")  # noqa: TRY004 - as every wrong value
    return token(value)


def _bounds(words: str, read: Callable[[str], object]) -> ValueType:
    def check(text: str) -> str:
        read(text)
        return text

    return _of_string(words, check)


TEXT = _of_string("text", str)
TOKEN = ValueType("a secret text", token, _token_of_toml)
PATH = _of_string("a path", _path)
COUNT = ValueType("a whole number", count, _only(int, "a whole number", lambda value: count(str(value))))
POWER_OF_TWO = ValueType(
    "a power of two, or 0", power_of_two, _only(int, "a power of two, or 0", lambda value: power_of_two(str(value)))
)
NAMES = _of_list("a list of names", exchange_name, may_be_empty=True)
SYMBOLS = _of_list("a list of symbols", symbol)
CHANNELS = _of_list("a list of channels", _channel)
TRUTH = ValueType("true or false", truth, _only(bool, "true or false", bool))
FORMAT = _of_choices("auto", "table", "json", "csv")
WAIT = _of_choices("spin", "yield", "sleep", "wake")
TRANSPORT = _of_choices("auto", "websockets", "picows")
CHECKSUM = ValueType("strict or warn, or a table of these by symbol", _checksum, _checksum_of_toml, CHECKSUM_WORDS)
LOG_LEVEL = _of_choices("error", "warning", "info", "debug")
SKIPPING = _of_choices("auto", "always", "never")
COLOR = _of_choices("auto", "always", "never")
COMMAND = ValueType("a command as a list of strings; in the variable as a shell's words", _command_of_text, _command_of_toml)
ROTATION = _bounds("a duration, a size, or both with a comma", keeping.rotation)
KEEP = _bounds("an age, a size, or both with a comma", keeping.keep)
LEAST_FREE = _bounds("a share, a size, or both with a comma; or 0", keeping.least_free)
LAST_FRAMES = _bounds("a duration, a size, or both with a comma; or off", keeping.last_frames)
FEE = _of_string('a decimal fraction in quotes, as in "0.0026"', fee)
WEBSOCKET_URL = _of_string("a ws:// or wss:// address", _url("ws", "wss"))
REST_URL = _of_string("a http:// or https:// address", _url("http", "https"))
