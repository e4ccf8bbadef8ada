"""A replay and a long check on a terminal: how they end, what they leave there, and the bar that is drawn and cleared."""

import random
import re
import signal

import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import done, frame, opened, write
from support.terminals import Terminal

import alphapulse_cli as ap
from alphapulse_cli.apps import segments
from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.cli.capture_progress import WORTH_A_BAR_BYTES
from alphapulse_cli.shm.directory import open_directory

FRAME_BYTES = 60_000


class Recorded(Terminal):
    """Terminal that keeps all bytes that its program wrote."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self.written = b""
        feed = self.screen.feed

        def noted(octets):
            self.written += octets
            feed(octets)

        self.screen.feed = noted


@pytest.fixture
def terminal(alphapulse):
    """Starter of the program in a terminal; `before` are the words of a shell around it."""
    made = []

    def start(*words, before=()):
        command = [*before, *alphapulse.command, *words]
        made.append(Recorded(command, 250, 30, env=alphapulse.environment(TERM="xterm-256color"), cwd=alphapulse.directory))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def long_capture(tmp_path_factory):
    """Folder with a capture that is worth a bar: bytes that do not compress."""
    folder, noise = tmp_path_factory.mktemp("captures"), random.Random(3)
    count = WORTH_A_BAR_BYTES // FRAME_BYTES + 10
    write(folder, [opened(0), *(frame(at, noise.randbytes(FRAME_BYTES)) for at in range(1, count)), done(count)], block_rows=20)
    return str(folder)


class TestReplay:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["SIGINT", "SIGTERM"])
    def test_a_signal_ends_it_with_its_code_and_the_last_books_stay(self, alphapulse, terminal, number, code):
        head, rows, _ = tape_rows(FEEDS[0], 400)
        write_rows(alphapulse.directory / "captures", head, rows)
        folder = alphapulse.directory / "past"
        shown = terminal("replay", "captures", "--hold", "--shm-dir", str(folder))  # so that nothing but the signal ends it
        shown.until(lambda text: re.search(r" (1x|over) .* [1-9][0-9]+ frames", text), "line of the replay")
        shown.process.send_signal(number)
        assert shown.wait() == code
        assert shown.is_as_before
        first, *more = [line for line in shown.screen.lines if line]
        assert first == f"REPLAY of kraken in {folder}: read it with --shm-dir {folder}"
        assert [line.partition(" frames in ")[0].isdecimal() for line in more] == [True] * (code == 0)
        with ap.Book("kraken", "BTC-USD", shm_dir=str(folder)) as image:
            assert image.read().bids.size
        assert not list(alphapulse.shm_dir.iterdir()), "where live books are"
        assert not list(folder.glob("*.control"))
        with open_directory(str(folder)) as directory:
            segments.sweep(directory)
        assert {path.suffix for path in folder.iterdir()} <= {".lock", ".wake"}


class TestBar:
    def test_it_is_drawn_and_cleared(self, terminal, long_capture):
        shown = terminal("capture", "check", long_capture)
        assert shown.wait() == 0
        assert b"MiB" in shown.written
        assert shown.is_as_before
        assert "MiB" not in shown.screen.text
        assert "holds" in shown.screen.text

    def test_there_is_none_beside_json(self, terminal, long_capture):
        shown = terminal("capture", "check", "--json", long_capture)
        assert shown.wait() == 0
        assert b"MiB" not in shown.written
        assert b"\x1b" not in shown.written

    def test_there_is_none_where_its_output_goes_through_a_pipe(self, terminal, long_capture):
        shown = terminal("capture", "check", "--format", "table", long_capture, before=["bash", "-c", '"$@" | cat', "bash"])
        assert shown.wait() == 0
        assert b"holds" in shown.written
        assert b"MiB" not in shown.written
