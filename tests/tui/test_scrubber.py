"""The scrubber over a replay: the drawing of its timeline, its keys and clicks, and a real replay that is steered on a terminal."""

import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from support.captures import tape_rows, write_rows
from support.small_captures import said
from support.terminals import Terminal
from support.tui_pictures import book, picture, running_app
from textual.widgets import Input

from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.tui import tabs
from alphapulse_cli.tui.ascii_signs import in_ascii
from alphapulse_cli.tui.feed.remote import GONE, SILENT, Order, ReplayView
from alphapulse_cli.tui.widgets import scrubber
from alphapulse_cli.tui.widgets.scrubber import column_of, head, place_of, short, time_of, timeline

SECOND = 10**9
BEGAN = 1_764_324_000 * SECOND  # 2025-11-28T10:00:00Z
WIDTHS = (40, 57, 80, 100, 131, 200)
KINDS = {"✕": "gap", "▲": "opportunity", "*": "both"}


def view(state="paused", at=30.0, speed="1x", length=60, **more):
    """A view of a recording of a minute, `at` seconds in."""
    return ReplayView(state, BEGAN + int(at * SECOND), speed, BEGAN, BEGAN + length * SECOND, state != "playing", **more)


def spans(*seconds):
    return tuple((BEGAN + int(begin * SECOND), BEGAN + int(end * SECOND)) for begin, end in seconds)


def drawn(shown, columns):
    return "".join(sign for sign, _ in timeline(shown, columns))


class TestTimeline:
    @pytest.mark.parametrize("columns", WIDTHS)
    def test_what_was_played_the_position_and_what_was_not(self, columns):
        for at, here in ((0.0, 0), (30.0, columns // 2), (60.0, columns - 1)):
            text = drawn(view(at=at), columns)
            assert abs(text.index("●") - here) <= 1
            assert re.fullmatch("━*●─*", text)
            assert len(text) == columns

    @pytest.mark.parametrize("columns", WIDTHS)
    def test_marks_stand_where_their_times_are(self, columns):
        shown = view(gaps=spans((10, 10), (45, 50)), opportunities=spans((20, 20), (50, 50)))
        text = drawn(shown, columns)
        at = {second: column_of(BEGAN + second * SECOND, shown, columns) for second in (10, 20, 45, 50)}
        assert (text[at[10]], text[at[20]], text[at[50]]) == ("✕", "▲", "*")
        assert set(text[at[45] : at[50]]) == {"✕"}
        assert text.count("▲") == 1

    def test_the_position_does_not_hide_that_something_is_marked_there(self):
        shown = view(at=10.0, gaps=spans((10, 10)))
        assert drawn(shown, 61)[10] == "◆"
        assert drawn(view(at=11.0, gaps=spans((10, 10))), 61)[10:12] == "✕●"

    @given(
        st.integers(1, 220),
        st.lists(st.tuples(st.floats(0, 60), st.floats(0, 8)), max_size=12),
        st.lists(st.floats(0, 60), max_size=12),
        st.floats(0, 60),
    )
    def test_no_mark_is_left_out_and_none_is_made_up(self, columns, gaps, opportunities, at):
        shown = view(
            at=at,
            gaps=spans(*((begin, begin + more) for begin, more in gaps)),
            opportunities=spans(*((one, one) for one in opportunities)),
        )
        check_marks(shown, columns)

    @pytest.mark.parametrize("is_mutant", [False, True], ids=["all", "mutant"])
    def test_a_timeline_that_drops_marks_is_found(self, is_mutant, monkeypatch):
        if is_mutant:  # broken mutant: only the beginning of a gap is marked
            monkeypatch.setattr(
                scrubber, "marked", lambda spans, view, columns: {column_of(first, view, columns) for first, _ in spans}
            )
        shown = view(gaps=spans((5, 9), (40, 41)))
        if is_mutant:
            with pytest.raises(AssertionError):
                check_marks(shown, 120)
        else:
            check_marks(shown, 120)

    @pytest.mark.parametrize("columns", [2, *WIDTHS])
    def test_a_column_and_its_time_are_the_same_place(self, columns):
        shown = view()
        assert [column_of(time_of(at, shown, columns), shown, columns) for at in range(columns)] == list(range(columns))
        assert (time_of(0, shown, columns), time_of(columns - 1, shown, columns)) == (shown.first_ns, shown.last_ns)

    def test_times_outside_the_recording_change_nothing(self):
        assert drawn(view(gaps=spans((-9, -5), (70, 80))), 80) == drawn(view(), 80)

    def test_a_recording_of_one_instant_is_a_timeline_too(self):
        assert drawn(view(at=0, length=0, gaps=spans((0, 0))), 40).count("◆") == 1

    @pytest.mark.parametrize("columns", WIDTHS)
    def test_in_ascii_every_sign_is_another_and_as_wide(self, columns):
        shown = view(at=30, gaps=spans((10, 10), (50, 50)), opportunities=spans((20, 20), (50, 50)))
        text = drawn(shown, columns)
        plain = in_ascii(text)
        assert plain.isascii()
        assert len(plain) == cell_len(text) == columns
        assert re.fullmatch(r"=+X=+\^=+o-+\*-+", plain)
        assert in_ascii(drawn(view(at=10, gaps=spans((10, 10))), 61))[10] == "@"


def check_marks(shown, columns):
    """Every column in which a mark lies has its sign, every other one has none."""
    here = column_of(shown.now_ns, shown, columns)
    cells = timeline(shown, columns)
    assert len(cells) == columns

    def has(marks, column):
        return any(column_of(first, shown, columns) <= column <= column_of(last, shown, columns) for first, last in marks)

    for column, (sign, _) in enumerate(cells):
        gap, opportunity = has(shown.gaps, column), has(shown.opportunities, column)
        rest = "━" if column < here else "─"
        assert sign == (
            ("◆" if gap or opportunity else "●")
            if column == here
            else "*"
            if gap and opportunity
            else "✕"
            if gap
            else "▲"
            if opportunity
            else rest
        )


class TestHead:
    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("state", ["playing", "paused", "seeking", "over", SILENT, GONE])
    def test_state_speed_and_the_whole_clock_fit_in_any_width(self, state, width):
        text = "".join(piece for piece, _ in head(view(state, speed="1000x"), width))
        assert "2025-11-28T10:00:30.000Z" in text
        assert "1000x" in text
        assert (state in text) is (width >= 57)
        assert cell_len(text) <= width

    def test_what_there_is_to_say_stands_behind_it(self):
        def words(state, **more):
            return "".join(piece for piece, _ in head(view(state, **more), 120))

        assert "space pauses" in words("playing")
        assert "space plays" in words("paused")
        assert "being built" in words("seeking")
        assert "{ goes back" in words("over")
        assert "its process is gone: alphapulse replay FILE" in words(GONE)
        assert "it has played all and ended" in words(GONE, at=59.5)
        assert "searching for gaps: 34%" in words("playing", surveyed=34)
        assert "50%" in words("paused")

    def test_the_ends_have_their_days_where_there_are_several(self):
        assert place_of(view(), 100)[::2] == (" 10:00:00Z ", " 10:01:00Z ")
        assert place_of(view(length=86_400), 120)[::2] == (" 2025-11-28T10:00:00Z ", " 2025-11-29T10:00:00Z ")
        assert place_of(view(length=86_400), 100) == (" ", 98, " ")
        assert place_of(view(), 40) == (" ", 38, " ")

    @pytest.mark.parametrize("width", [1, 8, 30, *WIDTHS])
    def test_in_one_line_there_is_always_a_timeline(self, width):
        pieces, place = short(view(), width)
        assert sum(len(text) for text, _ in pieces) + place.columns <= width
        assert place.columns >= min(width, 8)


class HandRemote:
    """A remote control whose other end is the test."""

    def __init__(self):
        self.orders, self.stopped = [], False

    def start(self, show, say):
        self.show, self.say = show, say

    def order(self, order):
        self.orders.append(order)

    def stop(self):
        self.stopped = True


KEYS = {
    "space": Order("pause"),
    "full_stop": Order("step"),
    "greater_than_sign": Order("pass", SECOND),
    "less_than_sign": Order("shift", -SECOND),
    "left_curly_bracket": Order("shift", -10 * SECOND),
    "shift+left": Order("shift", -10 * SECOND),
    "right_curly_bracket": Order("shift", 10 * SECOND),
    "shift+right": Order("shift", 10 * SECOND),
    "f": Order("speed", 1),
    "F": Order("speed", -1),
}


class TestKeys:
    async def test_on_every_screen_they_are_the_replays(self):
        remote = HandRemote()
        async with running_app(given=picture(book(), book("coinbase")), remote=remote) as tui:
            remote.show(view())
            for tab in tabs.TABS:
                await tui.press(tab.key)
                there = {key: tui.screen.active_bindings[key].binding.action for key in [*KEYS, "w"]}
                assert all(action.startswith("replay_") for action in there.values()), (tab.name, there)
            await tui.press(*KEYS)
            assert remote.orders == list(KEYS.values())
        assert remote.stopped

    async def test_over_live_sets_there_is_no_bar_and_they_do_nothing(self):
        remote = HandRemote()
        async with running_app(given=picture(book(), book("coinbase")), remote=remote) as tui:
            remote.show(None)
            before = tui.lines()[:-2]
            await tui.press("space", "full_stop", "right_curly_bracket", "F", "w")
            assert (tui.lines()[:-2], remote.orders) == (before, [])
            await tui.press("question_mark")
            assert "Replay" not in tui.words()

    async def test_the_help_tells_them(self):
        remote = HandRemote()
        async with running_app((100, 80), given=picture(book()), remote=remote) as tui:
            remote.show(view())
            await tui.settle()
            await tui.press("question_mark")
            for words in (
                "● where the replay is",
                "builds the books anew",
                "space Replay: pause it",
                ". Replay: the next frame",
                "{ shift+← Replay: 10 s back",
                "F Replay: slower",
            ):
                assert words in tui.words()

    def test_the_page_on_the_live_screen_names_them_all(self):
        page = (Path(__file__).parents[2] / "docs/how-to/watch-the-live-screen.md").read_text()
        section = page.split("## A replay")[1].split("\n## ")[0]
        named = set(re.findall(r"`(\S+)`", " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))))
        keys = {
            "full_stop": ".",
            "greater_than_sign": ">",
            "less_than_sign": "<",
            "left_curly_bracket": "{",
            "right_curly_bracket": "}",
        }
        keys |= {"shift+left": "←", "shift+right": "→"}
        assert named == {keys.get(key, key) for key in (*KEYS, "w")}
        for sign in "●✕▲*◆":
            assert f"| {sign} | {in_ascii(sign)} |" in section

    async def test_a_time_is_asked_for_and_one_without_an_offset_refused(self):
        remote = HandRemote()
        async with running_app(given=picture(book()), remote=remote) as tui:
            remote.show(view())
            await tui.settle()
            for text, words in (
                ("2025-11-28T10:00:12", "a time without an offset"),
                ("soon", "not a time"),
                ("2025-11-28T11:00:00Z", "is not in the recording"),
            ):
                await tui.press("w")
                tui.screen.query_one(Input).value = text
                await tui.press("enter")
                assert words in tui.words()
                assert remote.orders == []
                await tui.press("escape")
            await tui.press("w")
            tui.screen.query_one(Input).value = "2025-11-28T11:00:12.5+01:00"
            await tui.press("enter")
            assert remote.orders == [Order("seek", BEGAN + 12 * SECOND + SECOND // 2)]

    async def test_a_click_on_the_timeline_seeks_and_one_beside_it_does_not(self):
        remote = HandRemote()
        async with running_app((100, 30), given=picture(book()), remote=remote) as tui:
            remote.show(view())
            await tui.settle()
            place = place_of(view(), 100)
            row = tui.screen.scrubber.region.y
            for x, y in ((len(place.before), row + 1), (99 - len(place.after), row + 1), (50, row), (2, row + 1)):
                await tui.pilot.click(offset=(x, y))
            assert remote.orders == [Order("seek", BEGAN), Order("seek", BEGAN + 60 * SECOND)]

    @pytest.mark.parametrize(("size", "rows"), [((100, 30), 2), ((40, 12), 1), ((20, 6), 1)])
    async def test_it_takes_its_rows_from_the_body_and_gives_them_back(self, size, rows):
        remote = HandRemote()
        async with running_app(size, given=picture(book()), remote=remote) as tui:
            room = tui.screen.room
            remote.show(view(gaps=spans((10, 10))))
            await tui.settle()
            assert (tui.screen.room, tui.screen.scrubber.region.height) == (room - rows, rows)
            assert {"●", "✕"} <= set(tui.lines()[-3])
            remote.show(None)
            await tui.settle()
            assert (tui.screen.room, tui.screen.scrubber.region.height) == (room, 0)

    @pytest.mark.parametrize("size", [(1, 1), (20, 5), (300, 100)])
    async def test_it_bears_every_size(self, size):
        remote = HandRemote()
        async with running_app(given=picture(book()), remote=remote, screen="books") as tui:
            remote.show(view(gaps=spans((10, 10))))
            await tui.pilot.resize_terminal(*size)
            await tui.settle()
            assert tui.screen.scrubber_rows == (1 if size[1] < 16 else 2)
            await tui.pilot.resize_terminal(100, 30)
            await tui.settle()
            assert "●" in tui.lines()[-3]

    async def test_what_went_wrong_is_one_line_and_a_replay_that_is_gone_says_so(self):
        remote = HandRemote()
        async with running_app(given=picture(book()), remote=remote) as tui:
            remote.show(view(GONE))
            remote.say("the replay is gone: alphapulse replay FILE\nand more")
            await tui.settle()
            [bar, _, status] = tui.lines()[-4:-1]
            assert "its process is gone" not in bar  # live sets are all there is here
            assert "! the replay is gone: alphapulse replay FILE" in status
            await tui.give(picture())
            remote.show(view(GONE, at=31))
            await tui.settle()
            assert "its process is gone" in tui.lines()[-4]

    async def test_without_colour_it_says_the_same(self, monkeypatch):
        texts = []
        for colour in ("", "1"):
            monkeypatch.setenv("NO_COLOR", colour)
            remote = HandRemote()
            async with running_app(given=picture(book()), remote=remote) as tui:
                remote.show(view(gaps=spans((10, 12)), opportunities=spans((20, 20))))
                await tui.settle()
                texts.append(tui.lines()[-4:-2])
        assert texts[0] == texts[1]
        assert {"●", "✕", "▲", "━", "─"} <= set(texts[0][1])


CLOCK = re.compile(r"(playing|paused|over|seeking|gone) (\S+)  (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")

QUOTE = re.compile(r"^ BTC-USD .* LIVE +([0-9.]+) +([0-9.]+) ")


class TestOnATerminal:
    """One long test, as a user's hour is: a capture of 15 s in a process of its own, and the live screen beside it."""

    @pytest.fixture
    def capture(self, tmp_path):
        """Rows of kraken, with a silence in the middle of which the capture tells."""
        head_, rows, _ = tape_rows(next(feed for feed in FEEDS if feed.case == "kraken"), 300)
        silence = [
            Row(b"mark", STARTED_NS + at * SECOND, 1, said(verdict=verdict)) for at, verdict in ((6, "silent"), (7, "heard"))
        ]
        write_rows(tmp_path / "captures", head_, sorted([*rows, *silence], key=lambda row: row.time_ns))
        return tmp_path / "captures"

    def test_it_is_paused_stepped_sought_and_its_end_is_told(self, alphapulse, shm_dir, capture):
        replay = alphapulse.start("replay", str(capture), "--paused", "--hold", "--shm-dir", str(shm_dir / "past"))
        screen = Terminal(
            [*alphapulse.command, "tui", "--shm-dir", str(shm_dir / "past")],
            110,
            30,
            env=alphapulse.environment(),
            cwd=alphapulse.directory,
        )

        def bar():
            return next(found.groups() for line in screen.screen.lines if (found := CLOCK.search(line)))

        def quote():
            """Best bid and ask of the row; what stands behind them may follow a moment later."""
            return next((found.groups() for line in screen.screen.lines if (found := QUOTE.search(line))), None)

        def until_at(state, moment, what):
            """Bar and books are there: while books are built the status takes a line more, and a click meets something else."""
            told = f"REPLAY at 2026-09-21T{moment}Z: 1 set, 1/1 books live"
            screen.until(lambda text: f"{state} " in text and f"  2026-09-21T{moment}Z  " in text and told in text, what)

        try:
            until = screen.until
            until(lambda text: "paused 1x" in text and "✕" in text, "the paused replay and its gap")
            line = screen.screen.lines[-3]
            assert line.index("●") < line.index("✕") < line.index("─", line.index("✕"))
            screen.press("}")
            until_at("paused", "14:13:30.000", "10 s later")
            until(lambda _: quote(), "the book of then")
            there = quote()
            screen.press("f")
            until(lambda text: "paused 2x" in text, "the speed")
            assert (bar()[2][11:], quote()) == ("14:13:30.000Z", there), "it stands still"
            screen.press("..")  # one is of this very time
            until(lambda text: "paused 2x  2026-09-21T14:13:30.0" in text and "T14:13:30.000Z" not in text, "the next frame")
            screen.press("<")
            until(lambda text: "T14:13:29" in text and "paused" in text, "a second back")
            screen.press(">>")
            until(lambda text: "T14:13:31" in text and quote() not in (None, there), "two seconds on, another book")
            screen.press("w")
            until(lambda text: "go to a time" in text, "the question")
            screen.press("2026-09-21T14:13:22\r")
            until(lambda text: "without an offset" in text, "that it is refused")
            screen.press("Z\r")
            until_at("paused", "14:13:22.000", "that time")
            screen.press("\x1b[<0;80;28M\x1b[<0;80;28m")
            until(lambda text: "T14:13:3" in text, "the time that was clicked on")
            screen.press(" ")
            until(lambda text: "over 2x" in text, "its end")
            assert "{ goes back" in screen.screen.text
            screen.press(".")
            until(lambda text: "! the recording is over" in text, "why nothing happens")
            screen.press("f")
            until(lambda text: "over 5x" in text, "the speed")
            assert re.fullmatch(r" \S+Z [━✕]+[●◆] \S+Z", screen.screen.lines[-3]), "a box lies over the timeline"
            replay.send_signal(signal.SIGKILL)
            until(lambda text: "gone 5x" in text, "that it is gone")
            screen.press("q")
            assert screen.wait() == 0
        finally:
            screen.close()
