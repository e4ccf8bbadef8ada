"""`alphapulse tui` in a terminal: it shows what a writer in another process publishes, and gives the terminal back, however it ends."""

import os
import re
import signal

import pytest
from support.shm_processes import child
from support.terminals import Terminal

SYMBOLS = ("BTC-USD", "ETH-USD")


@pytest.fixture
def terminal(alphapulse):
    made = []

    def start(*arguments, columns=100, rows=30, **environment):
        command = [*alphapulse.command, *arguments]
        env = alphapulse.environment(**environment)
        made.append(Terminal(command, columns, rows, env=env, cwd=alphapulse.directory))
        return made[-1]

    yield start
    for one in made:
        one.close()


def writer(shm_dir, seed=1):
    return child("support.reader_sets:write_until_told", str(shm_dir), seed, SYMBOLS)


def publish(process, count=10):
    process.say(str(count))
    return process.line()


class TestADay:
    def test_start_resize_kill_restart_ctrl_c(self, terminal, shm_dir):
        """One long test, as a user's day is: each step begins where the last one ended."""
        screen = terminal("tui")
        screen.until(lambda text: "alphapulse collect" in text, "what to do")
        with writer(shm_dir) as first:
            first.line()
            publish(first)
            screen.until(lambda text: all(symbol in text for symbol in SYMBOLS) and "LIVE" in text, "live books")
            for _ in range(10):
                for columns, rows in ((80, 24), (20, 5), (300, 100), (1, 1), (120, 40)):
                    screen.resize(columns, rows)
                publish(first)
                screen.until(lambda text: "BTC-USD" in text and "Help" in text.split("\n")[39], "the new size, to its last line")
            first.kill()
            screen.until(lambda text: "STALE" in text and "Start it again" in text, "the death of the writer")
        with writer(shm_dir, 2) as second:
            second.line()
            publish(second)
            screen.until(lambda text: "LIVE" in text and "STALE" not in text, "the new writer's books")
            screen.press("\x03")
            assert screen.wait() == 130
        assert screen.is_as_before

    def test_every_screen_by_its_number_then_q(self, terminal, shm_dir):
        with writer(shm_dir) as one:
            one.line()
            publish(one)
            screen = terminal("top", "--symbol", "BTC-USD")
            screen.until(lambda text: "BTC-USD" in text, "the book")
            assert "ETH-USD" not in screen.screen.text
            for key in "234561":
                screen.press(key)
                publish(one)
                screen.read()
            screen.until(lambda text: "BTC-USD" in text, "the overview")
            screen.press("q")
            assert screen.wait() == 0
        assert screen.is_as_before
        assert not list((shm_dir / "readers").iterdir())


class TestHowItEnds:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
    def test_a_signal_gives_the_terminal_back(self, terminal, shm_dir, number, code):
        screen = terminal("tui")
        screen.until(lambda text: "alphapulse collect" in text, "what to do")
        screen.process.send_signal(number)
        assert screen.wait() == code
        assert screen.is_as_before

    def test_a_terminal_that_goes_away_ends_it_and_no_cursor_is_left(self, terminal, shm_dir):
        """No signal comes: the terminal was not the controlling one."""
        with writer(shm_dir) as one:
            one.line()
            publish(one)
            screen = terminal("tui")
            screen.until(lambda text: "BTC-USD" in text, "the book")
            screen.hang_up()
            assert screen.process.wait(60) == 0
            assert list((shm_dir / "readers").iterdir()) == []

    def test_our_mistake_gives_the_terminal_back_and_is_one_line(self, terminal, alphapulse, tmp_path):
        """The mistake is planted from outside: a module that Python imports at its start breaks the feed's pictures."""
        (tmp_path / "sitecustomize.py").write_text(
            "import sys, threading\n"
            "def broken(*_):\n"
            "    raise ZeroDivisionError('planted')\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'alphapulse_cli.tui.app':\n"
            "            import alphapulse_cli.tui.feed.feed as feed\n"
            "            feed.ScreenFeed.picture = broken\n"
            "sys.meta_path.insert(0, Finder())\n"
        )
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        screen = terminal("tui", PYTHONPATH=path)
        assert screen.wait() == 1
        assert screen.is_as_before
        assert "error: internal error: ZeroDivisionError: planted" in screen.screen.text
        assert "Traceback" not in screen.screen.text

    @pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {"LANG": "xx_YY", "LC_ALL": "xx_YY"}, {"NO_COLOR": "1"}])
    def test_poor_terminals_and_locales(self, terminal, shm_dir, environment):
        with child("support.reader_sets:move_until_killed", str(shm_dir), ("kraken",), SYMBOLS) as one:
            one.line()
            screen = terminal("tui", columns=80, rows=24, **environment)
            screen.until(lambda text: "BTC-USD" in text and re.search(r"\bLIVE\b", text), "the book")
            screen.press("q")
            assert screen.wait() == 0
        assert screen.is_as_before


class TestUsage:
    def test_without_a_terminal_it_names_what_works_there(self, alphapulse):
        done = alphapulse("tui")
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: the live screen needs a terminal, and stdin is not one\nhint: ")
        assert "alphapulse tail" in done.stderr

    def test_a_dumb_terminal_is_none(self, terminal):
        screen = terminal("tui", TERM="dumb")
        assert screen.wait() == 2
        assert "TERM=dumb" in screen.screen.text

    @pytest.mark.parametrize(("option", "known"), [("--screen", "overview"), ("--theme", "contrast")])
    def test_unknown_values_are_told_with_the_known_ones(self, alphapulse, option, known):
        done = alphapulse("tui", option, "nonsense")
        assert done.code == 2
        assert known in done.stderr

    def test_the_options_name_what_there_is(self):
        """Said twice, because the command's help may not import Textual."""
        from alphapulse_cli.cli import tui
        from alphapulse_cli.tui import tabs, themes

        assert [tab.name for tab in tabs.ALL] == list(tui.NAMES)
        assert tui.THEMES == themes.NAMES

    def test_demo_opens_it_at_a_terminal(self, terminal):
        screen = terminal("demo")
        screen.until(lambda text: "Overview" in text and text.count("LIVE") >= 3, "live books")
        screen.press("q")
        assert screen.wait() == 0
        assert screen.is_as_before
