"""What to do, in lines that fit: a sentence, and each command of it on a line of its own, whole, to be read and typed."""

import re
import textwrap

COMMAND = re.compile(r"alphapulse [a-z]+(?: --[a-z-]+(?: [A-Za-z0-9:_,.-]*[A-Za-z0-9])?)*")


def sentence_lines(text: str, width: int) -> list[tuple[str, bool]]:
    """(line, whether it is a command) of one sentence or several; only a command longer than the width is longer than it."""
    lines: list[tuple[str, bool]] = []
    at = 0
    for found in COMMAND.finditer(text):
        lines += _wrapped(text[at : found.start()], width)
        lines.append((f"  {found.group()}", True))
        at = found.end()
    return lines + _wrapped(text[at:], width)


def _wrapped(text: str, width: int) -> list[tuple[str, bool]]:
    """What stood behind a command begins without the mark that ended it."""
    return [(line, False) for line in textwrap.wrap(text.lstrip(" .;,"), max(width, 1), break_on_hyphens=False)]
