"""Text of others made fit to be shown: one line, no control characters, no direction overrides.

Whatever an exchange, a file or a user wrote reaches a terminal only through `safe`.
"""


def safe(text: object) -> str:
    r"""The text in one line that no terminal obeys: every unprintable character (ESC, CR, bidi overrides, …) as \x1b, \u202e.

    Bytes are taken as UTF-8, what is not as \xff. Rich's markup needs no escape: our consoles have markup switched off.
    """
    line = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else escaped(character) for character in line)


def escaped(character: str) -> str:
    r"""The character as \n, \x1b, \u202e or \U000e0001."""
    return character.encode("unicode_escape").decode("ascii")
