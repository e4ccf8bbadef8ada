"""The signs of the live screen in ASCII, one cell each, for a terminal that shows no others.

It is one where the locale says so: C or POSIX, or a character set other than UTF-8. A machine that says nothing (no LC_ALL, LC_CTYPE,
LANG) has a terminal that shows UTF-8 nearly always, as Python assumes too. What is in no table is shown as "?".
"""

import os
from collections.abc import Mapping
from pathlib import Path

from rich.cells import cell_len

POOR = frozenset({"C", "POSIX"})
BEGUN_WITH = Path("/proc/self/environ")  # before Python put LC_CTYPE=C.UTF-8 in place of a C locale

PAIRS = (
    ("▲△↑▼▽↓", "^^^vvv"),
    ("●○✗✕✓·•", "oOXXV.."),
    ("»«→←≈…µ≥≤Δ", "><><~~u><d"),
    ("─━═—│┃║▕▏", "----|||||"),
    ("╭╮╰╯┌┐└┘├┤┬┴┼", "+++++++++++++"),
    ("▸►▾◂◄⏎", ">>v<<$"),
    ("▁▂▃▄▅▆▇█", "_.-:=+*#"),
    ("▎▍▌▋▊▉▐", ".-=+*#|"),
    ("░▒▓▔▀", ".:#-^"),
)


class Signs(dict[int, str]):
    """For `str.translate`."""

    def __missing__(self, code: int) -> str:
        """ASCII is itself; of another sign it is known that it is there, and how wide it is."""
        self[code] = made = chr(code) if code < 128 else "?" * cell_len(chr(code))
        return made


SIGNS = Signs({ord(sign): plain for signs, plains in PAIRS for sign, plain in zip(signs, plains, strict=True)})


def in_ascii(text: str) -> str:
    """The text with a sign of ASCII for every other, as wide as before."""
    return text if text.isascii() else text.translate(SIGNS)


def begun_with() -> Mapping[str, str]:
    """The environment this process was begun with, where the system tells; else the one there is now."""
    try:
        told = BEGUN_WITH.read_bytes()
    except OSError:
        return os.environ
    pairs = (one.partition(b"=") for one in told.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def is_ascii_only(environment: Mapping[str, str], encoding: str) -> bool:
    """Whether a terminal of that locale, written to in that encoding, shows no more than ASCII."""
    if not _is_utf8(encoding):
        return True
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    language, _, codeset = locale.partition("@")[0].partition(".")
    return locale in POOR or bool(codeset and language and not _is_utf8(codeset))


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "") == "utf8"
