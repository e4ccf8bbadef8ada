"""ASCII replacements, one cell each, for the signs of the live screen on a terminal that shows only ASCII.

The locale decides: C, POSIX, or a character set other than UTF-8 mean ASCII only. Without a locale (no LC_ALL, LC_CTYPE, LANG) the
terminal is taken to show UTF-8, as Python does. Signs that are in no table become "?".
"""

import os
from collections.abc import Mapping
from pathlib import Path

from rich.cells import cell_len

POOR = frozenset({"C", "POSIX"})
BEGUN_WITH = Path("/proc/self/environ")  # before Python put LC_CTYPE=C.UTF-8 in place of a C locale

PAIRS = (
    ("▲△↑▼▽↓", "^^^vvv"),
    ("●○◆✗✕✓·•", "oO@XXV.."),
    ("»«→←≈…µ≥≤Δ", "><><~~u><d"),
    ("─━═—│┃║▕▏", "-=--|||||"),
    ("╭╮╰╯┌┐└┘├┤┬┴┼", "+++++++++++++"),
    ("▸►▾◂◄⏎", ">>v<<$"),
    ("▁▂▃▄▅▆▇█", "_.-:=+*#"),
    ("▎▍▌▋▊▉▐", ".-=+*#|"),
    ("░▒▓▔▀■", ".:#-^#"),
)


class Signs(dict[int, str]):
    """Table for `str.translate`: ASCII text by code point."""

    def __missing__(self, code: int) -> str:
        """Return an ASCII character unchanged; for another sign as many "?" as it has cells."""
        self[code] = made = chr(code) if code < 128 else "?" * cell_len(chr(code))
        return made


SIGNS = Signs({ord(sign): plain for signs, plains in PAIRS for sign, plain in zip(signs, plains, strict=True)})


def in_ascii(text: str) -> str:
    """Text with an ASCII replacement for every other sign, of the same width."""
    return text if text.isascii() else text.translate(SIGNS)


def begun_with() -> Mapping[str, str]:
    """Environment at the start of this process, if the system reports it; else the present one."""
    try:
        environment = BEGUN_WITH.read_bytes()
    except OSError:
        return os.environ
    pairs = (one.partition(b"=") for one in environment.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_ascii_only(environment: Mapping[str, str], encoding: str) -> bool:
    """Whether a terminal of that locale and encoding shows only ASCII."""
    if not _is_utf8(encoding):
        return True
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    language, _, codeset = locale.partition("@")[0].partition(".")
    return locale in POOR or bool(codeset and language and not _is_utf8(codeset))


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "") == "utf8"
