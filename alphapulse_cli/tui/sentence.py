"""Advice in lines that fit: a sentence, and each of its commands whole, in lines of its own."""

import re
import textwrap

VALUE = r"(?:'[^']*'|[A-Za-z0-9_:,./@%+=-]*[A-Za-z0-9_])"
ALPHAPULSE = rf"alphapulse [a-z]+(?: [A-Z]{{2,}}\b)?(?: --[a-z-]+(?: {VALUE})?)*"  # FILE stands for what is to be named
COMMAND = re.compile(rf"kill -[A-Z0-9]+ [0-9]+(?:; {ALPHAPULSE})?|{ALPHAPULSE}")
WORD = re.compile(r"(?:'[^']*'|[^\s'])+")
INDENT, ON = "  ", " \\"  # a command's line ends in a backslash where the next one continues it


def sentence_lines(text: str, width: int) -> list[tuple[str, bool]]:
    """(line, whether it is part of a command) of one or more sentences. No line is longer than `width` unless one word is."""
    lines: list[tuple[str, bool]] = []
    at = 0
    for found in COMMAND.finditer(text):
        lines += _wrapped(text[at : found.start()], width)
        lines += [(line, True) for line in command_lines(found.group(), width)]
        at = found.end()
    return lines + _wrapped(text[at:], width)


def command_lines(command: str, width: int) -> list[str]:
    """The command in lines of at most `width` characters, broken between words with a backslash as a shell expects."""
    lines: list[str] = []
    for word in WORD.findall(command):
        if lines and len(lines[-1]) + 1 + len(word) + len(ON) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{INDENT * (2 if lines else 1)}{word}")
    whole = f"{INDENT}{command}"
    return [whole] if len(whole) <= width else [f"{line}{ON}" for line in lines[:-1]] + lines[-1:]


def _wrapped(text: str, width: int) -> list[tuple[str, bool]]:
    """Lines of plain text; spaces and punctuation left over from a command before it are dropped."""
    return [(line, False) for line in textwrap.wrap(text.lstrip(" .;,"), max(width, 1), break_on_hyphens=False)]
