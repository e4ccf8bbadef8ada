"""The page on recording, done: its blocks in the page's order, beside the simulators that its first block starts."""

import json
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from docs.test_tutorial import LIMIT_S, STEP, Step, Terminal, compare, end_session

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "record-and-replay.md"
STEPS = [Step(*found) for found in STEP.findall(PAGE.read_text())]
BLOCKS = [step for step in STEPS if step.how != "start"]
PORTS = ("18630", "18631")


def free_port():
    """A port with another behind it, both free."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


class Page:
    """Blocks of the page, each run once, after those above it: whatever test comes first."""

    def __init__(self, terminal, ports):
        self._terminal, self._ports = terminal, ports
        self._ended: list[tuple[int, str]] = []

    def outcome(self, step):
        """(exit code, all that it printed) of a block."""
        place = BLOCKS.index(step)
        for above in BLOCKS[len(self._ended) : place + 1]:
            self._ended.append(self._terminal.run(placed(above.text, self._ports), above.language))
        return self._ended[place]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page, whose blocks run in a terminal beside the simulators, with other ports that are free here."""
    from conftest import Runner

    directory = tmp_path_factory.mktemp("record")
    terminal = Terminal(directory, Runner(directory, directory).command)
    port = free_port()
    ports = dict(zip(PORTS, (str(port), str(port + 1)), strict=True))
    [start] = [step for step in STEPS if step.how == "start"]
    with (directory / "sim.out").open("wb") as out:
        running = terminal.start(placed(start.text, ports), stdout=out)
    try:
        end = time.monotonic() + LIMIT_S
        while (directory / "sim.out").read_text().count("\n") < 2:
            assert time.monotonic() < end, (directory / "sim.out").read_text()
            time.sleep(0.05)
        yield Page(terminal, ports)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(LIMIT_S)
        end_session(running)
        for folder in (terminal.shm_dir, terminal.shm_dir.with_name(terminal.shm_dir.name + "-replay")):
            shutil.rmtree(folder, ignore_errors=True)


def placed(text, ports):
    """The text with other ports."""
    for old, new in ports.items():
        text = text.replace(old, new)
    return text


@pytest.mark.timeout(300)  # the first test may run all blocks
@pytest.mark.parametrize("step", BLOCKS, ids=lambda step: step.text.splitlines()[-1][:60])
def test_a_block_does_what_the_page_shows(page, step):
    code, printed = page.outcome(step)
    assert code == 0, printed
    if step.shown_as == "json":
        lines = [line for line in printed.splitlines() if line.startswith("{")]
        assert [list(json.loads(line)) for line in lines] == [list(json.loads(line)) for line in step.shown.splitlines()]
    elif step.shown:
        compare(step, printed)


def test_no_block_is_forgotten():
    blocks = re.findall(r"^(?:<!-- (run|not run): [^\n]* -->\n)?```(?:sh|python)$", PAGE.read_text(), re.MULTILINE)
    assert len(blocks) >= 6
    assert all(blocks)
