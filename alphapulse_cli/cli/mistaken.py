"""Hints for a capture that was given where live books are read: a file or folder of captures behind `tail`, or as --shm-dir."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

# Commands to which a capture is no mistake.
READ_CAPTURES = ("candles", "capture", "collect", "explain", "export", "record", "replay", "verify")
SUFFIXES = (".cap.zst", ".cap.idx")  # `edges.capture.files` has them, whose import would cost each error its time
SHM_DIR = "--shm-dir"
OF_THE_PAST = ("--at", "--at-version", "--at-sequence", "--every")  # options with which `reconstruct` reads captures
SHOWN = 40  # characters of a wrong word that its error shows, quoted


def hint(arguments: Sequence[str], text: str, *, is_of_segments: bool = False) -> str:
    """Hint for an error with this text whose cause is a capture among the arguments; "" where there is none.

    `is_of_segments` says that the error is about a directory of segments, not about an argument.
    """
    if not arguments or arguments[0] in READ_CAPTURES or _asks_for_the_past(arguments):
        return ""
    named = (
        _directories(arguments) if is_of_segments else (word for word in arguments if word in text or repr(word[:SHOWN]) in text)
    )
    for word in named:
        if is_capture(word):
            path = shlex.quote(word)
            return (
                f"it is a capture: alphapulse replay {path} plays it into segments that every command reads;"
                f" alphapulse capture cat {path} prints its frames"
            )
    return ""


def _asks_for_the_past(arguments: Sequence[str]) -> bool:
    """Whether it is a `reconstruct` of a capture, whose own errors have the better hint."""
    return arguments[0] == "reconstruct" and any(word.partition("=")[0] in OF_THE_PAST for word in arguments)


def is_capture(text: str) -> bool:
    """Whether a text names a file of a capture, or a folder with one."""
    if text.endswith(SUFFIXES) or not text:
        return bool(text)
    try:
        return Path(text).is_dir() and any(path.name.endswith(SUFFIXES) for path in Path(text).iterdir())
    except OSError:
        return False


def _directories(arguments: Sequence[str]) -> Iterator[str]:
    """Directories of segments that a command line or the environment names."""
    for place, word in enumerate(arguments):
        if word == SHM_DIR:
            yield from arguments[place + 1 : place + 2]
        elif word.startswith(f"{SHM_DIR}="):
            yield word.partition("=")[2]
    yield os.environ.get("ALPHAPULSE_SHM_DIR", "")
