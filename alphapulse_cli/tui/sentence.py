"""Advice in lines that fit: a sentence, and each of its commands whole, in lines of its own."""

import re
import textwrap

VALUE = r"(?:'[^']*'|[A-Za-z0-9_:,./@%+=-]*[A-Za-z0-9_])"
ALPHAPULSE = rf"alphapulse [a-z]+(?: --[a-z-]+(?: {VALUE})?)*"
COMMAND = re.compile(rf"kill -[A-Z0-9]+ [0-9]+(?:; {ALPHAPULSE})?|{ALPHAPULSE}")
WORD = re.compile(r"(?:'[^']*'|[^\s'])+")
INDENT, ON = "  ", " \\"  # a line that goes on ends as a shell wants it


def sentence_lines(text: str, width: int) -> list[tuple[str, bool]]:
    """(line, whether it is of a command) of one sentence or several; only a word longer than the width makes a line longer than it."""
    lines: list[tuple[str, bool]] = []
    at = 0
    for found in COMMAND.finditer(text):
        lines += _wrapped(text[at : found.start()], width)
        lines += [(line, True) for line in command_lines(found.group(), width)]
        at = found.end()
    return lines + _wrapped(text[at:], width)


def command_lines(command: str, width: int) -> list[str]:
    """The command, broken between its words as a shell allows it."""
    lines: list[str] = []
    for word in WORD.findall(command):
        if lines and len(lines[-1]) + 1 + len(word) + len(ON) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{INDENT * (2 if lines else 1)}{word}")
    whole = f"{INDENT}{command}"
    return [whole] if len(whole) <= width else [f"{line}{ON}" for line in lines[:-1]] + lines[-1:]


def _wrapped(text: str, width: int) -> list[tuple[str, bool]]:
    """What stood behind a command begins without the mark that ended it."""
    return [(line, False) for line in textwrap.wrap(text.lstrip(" .;,"), max(width, 1), break_on_hyphens=False)]
