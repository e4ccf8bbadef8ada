"""The live screen in ASCII: when, sign by sign, and on a terminal."""

import pytest
from rich.cells import cell_len
from support.shm_processes import child
from support.terminals import Terminal

from alphapulse_cli.tui.ascii_signs import PAIRS, in_ascii, is_ascii_only


@pytest.mark.parametrize(
    ("locale", "encoding", "is_ascii"),
    [
        ({"LC_ALL": "C"}, "utf-8", True),
        ({"LANG": "POSIX"}, "utf-8", True),
        ({"LC_CTYPE": "C", "LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "", "LANG": "C"}, "utf-8", True),
        ({"LANG": "de_DE.ISO-8859-15@euro"}, "utf-8", True),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, "utf-8", False),
        ({"LANG": "en_US.utf8"}, "UTF-8", False),
        ({"LANG": "en_US.UTF-8"}, "ascii", True),
        ({"LANG": "xx_YY"}, "utf-8", False),
        ({}, "utf-8", False),
        ({}, "", True),
    ],
)
def test_it_is_the_locale_and_the_encoding_that_say_so(locale, encoding, is_ascii):
    assert is_ascii_only(locale, encoding) == is_ascii


def test_every_sign_becomes_one_of_ascii_as_wide_as_it_was():
    for signs, plains in PAIRS:
        assert in_ascii(signs) == plains
        assert plains.isascii()
        assert cell_len(signs) == len(plains)


def test_an_unknown_sign_is_seen_and_keeps_its_room():
    assert in_ascii("a漢é\x1b[1mb") == "a???\x1b[1mb"


def test_on_a_terminal_in_a_c_locale_nothing_but_ascii_is_written(alphapulse, shm_dir):
    with child("support.reader_sets:move_until_killed", str(shm_dir), ("kraken", "coinbase"), ("BTC-USD",)) as market:
        market.line()
        environment = alphapulse.environment(LC_ALL="C")
        terminal = Terminal([*alphapulse.command, "tui"], 40, 12, env=environment, cwd=alphapulse.directory)
        written = []
        feed = terminal.screen.feed

        def noted(octets):
            written.append(octets)
            feed(octets)

        terminal.screen.feed = noted
        try:
            terminal.until(lambda text: "60000.0" in text, "a price")
            for key in "23456":
                terminal.press(key)
                terminal.until(lambda text: "Help" in text or "deltas/s" in text, "the screen")
            terminal.press("1")
            terminal.until(lambda text: "o " in text and "60000.0" in text, "the overview")
            terminal.press("q")
            assert terminal.wait() == 0
        finally:
            terminal.close()
    assert b"".join(written).isascii()
    assert b"\\u25" not in b"".join(written)
