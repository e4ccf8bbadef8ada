"""The app with pictures made by hand: every key of its own, pausing, filter, themes, memory, help, and how it ends."""

import re
from pathlib import Path

import pytest
from support.campaigns import size
from support.tui_pictures import book, lines_of, picture, running_app

from alphapulse_cli.tui import saying as module
from alphapulse_cli.tui import tabs
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.saying import TOO_LONG, cut, summary
from alphapulse_cli.tui.screens.base import PulseScreen
from alphapulse_cli.tui.screens.help import HelpScreen, key_rows
from alphapulse_cli.tui.terminal import TerminalDriver
from alphapulse_cli.tui.themes import NAMES, THEMES
from alphapulse_cli.tui.widgets.frame import FilterLine, StatusLine, fitting_tabs
from alphapulse_cli.wire.delta import BookState

SIZE = (100, 30)


class TestScreens:
    async def test_each_number_shows_its_screen_and_the_picture(self):
        async with running_app(given=picture(book(), book("coinbase"))) as tui:
            for tab in tabs.TABS:
                await tui.press(tab.key)
                assert (tui.app.current_mode, tui.screen.title) == (tab.name, tab.title)

    @pytest.mark.campaign
    async def test_a_click_on_a_tab_does_too(self):
        async with running_app() as tui:
            for tab in size(list(reversed(tabs.TABS))[::2], list(reversed(tabs.TABS))):
                at = len(" alphapulse  ")
                for title, text in fitting_tabs(AlphapulseApp.TABS, SIZE[0] - at):
                    if title == tab.title:
                        await tui.pilot.click(offset=(at + 1, 0))
                    at += len(text)
                await tui.settle()
                assert tui.screen.title == tab.title

    @pytest.mark.campaign
    @pytest.mark.parametrize("columns_and_rows", [(80, 24), (300, 100), (20, 6), (1, 1)])
    async def test_every_screen_bears_every_size_with_and_without_books(self, columns_and_rows):
        """In the suite every other screen without books, those between with some; in a campaign all with both."""
        shown = (picture(advice="start one"), picture(book(), book("coinbase", state=BookState.STALE)))
        async with running_app(size=columns_and_rows) as tui:
            for number, one in enumerate(shown):
                await tui.give(one)
                for tab in size(tabs.TABS[number :: len(shown)], tabs.TABS):
                    await tui.press(tab.key)
            await tui.pilot.resize_terminal(*SIZE)
            await tui.settle()

    async def test_it_is_as_large_as_the_terminal_whatever_came_last(self):
        """Of nested signal handlers the last one's size is told first."""

        class Larger(TerminalDriver):
            def __init__(self):
                pass

            terminal_size = (90, 20)

        async with running_app() as tui:
            driver, tui.app._driver = tui.app._driver, Larger()
            tui.app._be_as_large()
            tui.app._driver = driver
            await tui.settle()
            assert (tui.app.size, tui.screen.size) == ((90, 20), (90, 20))

    async def test_the_one_asked_for_wins_over_the_remembered_one(self, tmp_path):
        names = [tab.name for tab in tabs.TABS]
        path = tmp_path / "tui.json"
        async with running_app(state=Preferences(path)) as tui:
            assert tui.app.current_mode == names[0]
            await tui.press(tabs.TABS[-1].key)
        async with running_app(state=Preferences(path)) as tui:
            assert tui.app.current_mode == names[-1]
        async with running_app(state=Preferences(path), screen=names[0]) as tui:
            assert tui.app.current_mode == names[0]


class TestPause:
    async def test_the_picture_stays_until_p_again(self, monkeypatch):
        async with running_app() as tui:
            before, after = picture(book(bid="99.00")), picture(book(bid="99.50"))
            await tui.give(before)
            await tui.press("p")
            await tui.give(after)
            assert tui.app.picture is before
            assert re.search(r"PAUSED, \d+ s old", "".join(tui.app.status_lines(80, 1)))
            await tui.press("p")
            assert tui.app.picture is after
            assert "PAUSED" not in "".join(tui.app.status_lines(80, 1))


class TestFilter:
    async def test_typed_letters_filter_at_once_and_keys_are_letters_meanwhile(self):
        async with running_app(given=picture(book())) as tui:
            await tui.press("slash", "q", "1")
            assert tui.screen.filter == "q1"
            await tui.press("enter")
            assert not tui.screen.query_one(FilterLine).display
            assert tui.screen.filter == "q1"
            assert "filter: q1" in tui.screen.query_one(StatusLine).render_line(0).text
            await tui.press("escape")
            assert tui.screen.filter == ""

    async def test_escape_ends_it(self):
        async with running_app() as tui:
            await tui.press("slash", "x", "escape")
            assert tui.screen.filter == ""
            assert not tui.screen.query_one(FilterLine).display


class TestThemes:
    async def test_t_goes_round_and_is_remembered(self, tmp_path):
        path = tmp_path / "tui.json"
        async with running_app(state=Preferences(path)) as tui:
            seen = [tui.app.theme]
            for _ in NAMES:
                await tui.press("t")
                seen.append(tui.app.theme)
            assert seen == [*NAMES, NAMES[0]]
            await tui.press("t")
        async with running_app(state=Preferences(path)) as tui:
            assert tui.app.theme == NAMES[1]

    async def test_every_theme_gives_every_colour_that_the_styles_use(self):
        for theme in THEMES:
            assert theme.variables.keys() == THEMES[0].variables.keys()
            async with running_app(theme=theme.name, given=picture(book())) as tui:
                assert tui.app.theme == theme.name


class TestCopyAndScreenshot:
    async def test_y_copies_what_the_screen_says(self, monkeypatch):
        async with running_app(given=picture(book())) as tui:
            monkeypatch.setattr(type(tui.screen), "copy_text", lambda self: "BTC-USD\t100.00")
            await tui.press("y")
            assert tui.app.clipboard == "BTC-USD\t100.00"

    async def test_s_saves_an_svg_here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        async with running_app(given=picture(book())) as tui:
            await tui.press("s")
        (saved,) = tmp_path.glob("alphapulse-*.svg")
        assert saved.read_text().startswith("<svg")

    async def test_a_folder_that_cannot_be_written_is_a_notice(self, monkeypatch):
        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "write_text", refuse)

        async with running_app() as tui:
            await tui.press("s")
            line = tui.screen.query_one(StatusLine)
            assert "! cannot write alphapulse-" in line.render_line(0).text
            assert "Permission denied" in line.render_line(0).text


class TestHelp:
    async def test_it_says_more_than_the_footer_has_room_for(self):
        async with running_app(size=(100, 60)) as tui:
            await tui.press("2", "question_mark")
            assert "c All exchanges' books as one: show or hide" in tui.words()
            assert "d Depth chart: show or hide" in tui.words()

    async def test_it_shows_the_keys_of_the_screen_and_goes_away(self):
        async with running_app(size=(100, 60)) as tui:
            await tui.press("question_mark")
            assert isinstance(tui.screen, HelpScreen)
            shown = tui.words()
            assert all(meaning in shown for meaning in ("Pause", "Filter", "Theme", *(tab.title for tab in tabs.TABS)))
            await tui.give(picture(book()))
            await tui.press("escape")
            assert (isinstance(tui.screen, HelpScreen), len(tui.app.picture.books)) == (False, 1)

    def test_keys_of_one_meaning_stand_together(self):
        rows = key_rows([("up", "↑", "Up"), ("k", "k", "Up"), ("tab", "tab", "Focus"), ("x", "x", "")])
        assert rows == [("↑ k", "Up")]

    async def test_the_palette_lists_every_screen_and_theme(self):
        async with running_app() as tui:
            titles = [command.title for command in tui.app.get_system_commands(tui.screen)]
            assert titles[: len(tabs.TABS)] == [f"Show {tab.title} ({tab.key})" for tab in tabs.TABS]
            assert {f"Use the theme {name}" for name in NAMES} <= set(titles)
            await tui.press("ctrl+p")
            await tui.press(*"theme light", "enter")
            assert tui.app.theme == "light"


class TestTheStatusLine:
    async def test_before_the_first_picture_then_advice_then_how_it_goes(self):
        async with running_app() as tui:
            assert "looking" in "".join(tui.app.status_lines(80, 1))
            await tui.give(picture(advice="start \x1b[2J one"))
            assert "".join(tui.app.status_lines(80, 1)) == " start \\x1b[2J one"
            await tui.give(picture(book(), book("coinbase", state=BookState.STALE)))
            assert "".join(tui.app.status_lines(80, 1)) == " 2 sets, 1/2 books live, 24 deltas/s, 0 gaps"
            assert "".join(tui.app.status_lines(10, 1)) == " 2 sets,…"

    async def test_a_command_is_never_cut_where_there_is_room_for_it_in_more_lines(self):
        command = "alphapulse collect --exchange kraken --symbols BTC-USD,ETH-USD --as mine"
        said = f"The collector of mine (pid 4242) was killed. Start it again: {command}"

        async with running_app(given=picture(book("mine", state=BookState.STALE), advice=said)) as tui:
            assert tui.app.status_lines(200, 6) == [f" {said}"]
            assert (
                "".join(tui.app.status_lines(100, 6))
                == f" The collector of mine (pid 4242) was killed. Start it again:   {command}"
            )
            narrow = tui.app.status_lines(60, 6)
            assert [line for line in narrow if line.endswith(" \\")]
            first = next(at for at, line in enumerate(narrow) if line.startswith("   alphapulse"))
            for lines in (narrow[first:], tui.app.status_lines(60, 2)):
                assert " ".join(" ".join(lines).replace(" \\", "").split()) == command
            assert tui.app.status_lines(60, 1) == [cut(f" {TOO_LONG}", 60)]
            assert tui.app.status_lines(20, 9) == [cut(f" {TOO_LONG}", 20)]

    async def test_the_line_grows_for_a_command_and_shrinks_again_and_the_rows_keep_their_place(self):
        said = (
            "The collector of kraken (pid 4242) was killed. Start it again: alphapulse collect --exchange kraken --symbols BTC-USD"
        )

        async with running_app(size=(80, 24), given=picture(book(state=BookState.STALE), advice=said)) as tui:
            tui.app.renew_status()
            await tui.settle()
            lines = tui.lines()
            assert lines[-3].strip() == "The collector of kraken (pid 4242) was killed. Start it again:"
            assert lines[-2].strip() == "alphapulse collect --exchange kraken --symbols BTC-USD"
            assert "BTC-USD" in lines[2]
            await tui.give(picture(book()))
            tui.app.renew_status()
            await tui.settle()
            assert "1/1 books live" in tui.lines()[-2]

    async def test_a_notice_is_shown_escaped_and_goes_away(self, monkeypatch):
        notices: list[str] = []

        async with running_app(notices=notices, given=picture(book())) as tui:
            notices.append("kraken: \x1b]0;x\a reconnecting")
            assert "".join(tui.app.status_lines(80, 1)) == " kraken: \\x1b]0;x\\x07 reconnecting"
            monkeypatch.setattr(module, "NOTICE_S", 0)
            assert "reconnecting" not in "".join(tui.app.status_lines(80, 1))

    async def test_a_long_notice_ends_at_a_word_and_help_has_all_of_it(self):
        notices: list[str] = []
        said = "binance-us: disconnected: it answers 429; it asks to be left alone until 12:30:15Z (in 600 s)"

        async with running_app(size=(60, 60), notices=notices, given=picture(book())) as tui:
            notices.append(said)
            (line,) = tui.app.status_lines(60, 9)
            assert line == " binance-us: disconnected: it answers 429; it asks to be…"
            await tui.press("question_mark")
            assert f"Said lately, the newest last: {said}" in tui.words()

    @pytest.mark.parametrize(
        ("text", "width", "shown"),
        [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("one two three", 9, "one two…"),
            ("a sesquipedalian", 12, "a sesquiped…"),
            ("ab cd", 1, "…"),
        ],
    )
    def test_what_is_cut_ends_behind_a_word_where_that_costs_little(self, text, width, shown):
        assert cut(text, width) == shown

    def test_what_this_reader_missed_is_said(self):
        from dataclasses import replace

        shown = picture(book())
        shown = replace(shown, sets=(replace(shown.sets[0], missed=1200),))
        assert summary(shown).endswith("1,200 records missed here")
        assert cut("abc", 3) == "abc"


class TestTurningToAScreen:
    async def test_the_first_that_is_drawn_of_it_is_all_of_it_with_the_newest_picture(self, monkeypatch):
        """Not its changes alone, between the lines of the screen before, as Textual would have it."""
        drawn_first = []
        display = AlphapulseApp._display

        def noted(app, screen, update):
            if update is not None and not app._batch_count and isinstance(screen, PulseScreen):
                drawn_first.append((getattr(screen, "NAME", ""), type(update).__name__, "\n".join(lines_of(app))))
            display(app, screen, update)

        monkeypatch.setattr(AlphapulseApp, "_display", noted)

        async with running_app(given=picture(book())) as tui:
            for key in "35":
                await tui.press(key)
            await tui.give(picture(book("coinbase")))
            for key, name, here in (("3", "latency", "stage"), ("1", "overview", "coinbase"), ("5", "arbitrage", "sell at")):
                drawn_first.clear()
                await tui.press(key)
                # the screen before may be drawn once more until it is turned away from
                kind, text = next((kind, text) for screen, kind, text in drawn_first if screen == name)
                assert kind == "LayoutUpdate"
                assert here in text


class TestTheEnd:
    @pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+q", 0), ("ctrl+c", 130)])
    async def test_each_key_that_ends_it_stops_the_feed(self, key, code):
        async with running_app() as tui:
            assert tui.feed.started
            await tui.pilot.press(key)
        assert (tui.app.return_code, tui.feed.stopped, tui.app.failure) == (code, True, None)

    async def test_ctrl_c_ends_it_while_the_filter_is_open(self):
        async with running_app() as tui:
            await tui.pilot.press("slash", "a", "ctrl+c")
        assert tui.app.return_code == 130

    async def test_a_mistake_in_the_feed_ends_it_and_is_known(self):
        with pytest.raises(ZeroDivisionError, match="ours"):  # noqa: PT012 - the app raises it as it ends
            async with running_app() as tui:
                tui.feed.failed(ZeroDivisionError("ours"))
                await tui.settle()

    async def test_pictures_that_come_faster_than_they_are_drawn_are_skipped(self, monkeypatch):
        async with running_app() as tui:
            drawn = []
            monkeypatch.setattr(type(tui.screen), "show", lambda self, shown: drawn.append(shown))
            made = [picture(book(bid=f"99.{i:02}")) for i in range(50)]
            for one in made:
                tui.feed.show(one)
            await tui.settle()
            assert drawn[-1] is made[-1]
            assert len(drawn) < len(made)


class TestState:
    def test_it_is_what_was_written_last_whoever_reads_it(self, tmp_path):
        path = tmp_path / "deep" / "tui.json"
        Preferences(path).set("theme", "light")
        assert Preferences(path).get("theme", "dark") == "light"
        assert [one.name for one in path.parent.iterdir()] == ["tui.json"]

    @pytest.mark.parametrize("octets", [b"", b"{", b"[1]", b'{"theme": 3}', b"\xff", b"[" * 100_000, b'{"a": "' + b"x" * 70_000])
    def test_a_damaged_file_is_as_none(self, tmp_path, octets):
        path = tmp_path / "tui.json"
        path.write_bytes(octets)
        state = Preferences(path)
        assert state.get("theme", "dark") == "dark"
        state.set("theme", "light")
        assert Preferences(path).get("theme", "dark") == "light"

    def test_where_it_cannot_be_written_it_is_remembered_for_now(self, tmp_path):
        (tmp_path / "file").touch()
        state = Preferences(tmp_path / "file" / "tui.json")
        state.set("theme", "light")
        assert state.get("theme", "dark") == "light"

    def test_it_has_bounds(self, tmp_path):
        state = Preferences(None)
        for number in range(1_000):
            state.set(f"name {number}", "x")
        state.set("name 0", "y" * 1_000)
        assert (state.get("name 0", ""), state.get("name 999", "none")) == ("x", "none")
