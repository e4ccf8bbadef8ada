"""Escaping of foreign text for display: one line, no control characters, no direction overrides.

Text of an exchange, a file or a user reaches a terminal only through `safe`.
"""


def safe(text: object) -> str:
    r"""Text as one printable line: every unprintable character (ESC, CR, bidi overrides, …) becomes \x1b, \u202e or the like.

    Bytes are decoded as UTF-8, invalid ones become \xff. Rich's markup needs no escape: our consoles have markup switched off.
    """
    line = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else escaped(character) for character in line)


def escaped(character: str) -> str:
    r"""Escape sequence of a character: \n, \x1b, \u202e or \U000e0001."""
    return character.encode("unicode_escape").decode("ascii")
