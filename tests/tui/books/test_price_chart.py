"""Mid and spread over minutes: every second counted, colours against the start, gaps left blank, spikes marked."""

from alphapulse_cli.tui.books.price_chart import LEAST_HEIGHT, chart_lines, columns
from alphapulse_cli.tui.feed.picture import Moment


def text(line):
    return "".join(piece.text for piece in line)


def at(mid, spread=1.0):
    return Moment(mid, spread)


class TestColumns:
    def test_a_column_is_as_many_seconds_as_it_takes(self):
        shown, seconds = columns([at(float(i), float(i % 3)) for i in range(10)], 4)
        assert seconds == 3
        assert shown == [at(1.0, 2.0), at(4.0, 2.0), at(7.0, 2.0), at(9.0, 0.0)]

    def test_a_column_without_a_live_second_is_none_and_others_leave_such_seconds_out(self):
        assert columns([None, None, at(3.0), None], 2)[0] == [None, at(3.0)]


class TestLines:
    def test_colours_are_against_where_it_began_and_a_gap_is_blank(self):
        lines = chart_lines([at(10.0), at(12.0), None, at(8.0), at(10.0)], 2, 40, 8)
        kinds = [piece.kind for piece in lines[4][1:]]
        assert kinds == ["quiet", "bid", "quiet", "ask", "quiet"]
        assert text(lines[4])[-3] == " "
        assert "12.00" in text(lines[0])
        assert "8.00" in text(lines[4])

    def test_the_axis_tells_how_long(self):
        assert text(chart_lines([at(1.0)] * 300, 2, 60, 8)[-1]).split() == ["-5", "min", "now"]
        assert text(chart_lines([at(1.0)] * 30, 2, 60, 8)[-1]).split() == ["-30", "s", "now"]

    def test_a_spike_of_mid_or_spread_is_an_arrow(self):
        lines = chart_lines([*[at(100.0 + i % 5, 1.0 + i % 2) for i in range(40)], at(900.0, 77.0)], 2, 60, 8)
        assert text(lines[0]).endswith("↑")
        assert text(lines[5]).endswith("↑")

    def test_no_line_is_wider_than_the_room(self):
        for width in range(20, 90, 7):
            for height in range(16):
                lines = chart_lines([at(63_000.5 + i, 0.1) for i in range(200)], 2, width, height)
                assert len(lines) <= height
                assert all(len(text(line)) <= width for line in lines)

    def test_without_room_none_and_without_samples_a_sentence(self):
        assert chart_lines([at(1.0)] * 9, 2, 60, LEAST_HEIGHT - 1) == []
        assert "a sample a second" in text(chart_lines([None, at(1.0)], 2, 60, 9)[0])
