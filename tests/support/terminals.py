"""A pseudo-terminal with a program in it, and what stands on its screen, as a terminal emulator understands it."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

LIMIT_S = 60.0
UNKNOWN = re.compile(rb"\x1b\[[<=][0-9;]*[a-z]")  # what pyte would take for text: the keyboard's protocol, asked for and given back


class Screen:
    """What stands on a terminal's screen, and which of its private modes are on, as pyte understands what is written to it."""

    def __init__(self, columns, rows):
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._pending, self._lines = b"", []

    @property
    def columns(self):
        return self._screen.columns

    @property
    def rows(self):
        return self._screen.lines

    @property
    def lines(self):
        """Without the blanks at their ends; only those are made anew that were written to."""
        screen = self._screen
        if len(self._lines) != screen.lines:
            self._lines = [""] * screen.lines
            screen.dirty.update(range(screen.lines))
        for y in screen.dirty:
            if y < screen.lines:
                cells = screen.buffer[y]
                self._lines[y] = "".join(cells[x].data for x in range(screen.columns)).rstrip()
        screen.dirty.clear()
        return list(self._lines)

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def modes(self):
        return {str(mode >> 5) for mode in self._screen.mode if mode >= 1 << 5}

    def resize(self, columns, rows):
        """As a terminal does it: what has no room any more is lost, what was there stays until something is written over it."""
        self._screen.resize(rows, columns)
        self._lines = []

    def feed(self, octets):
        data = self._pending + octets
        cut = data.rfind(b"\x1b", -16)  # a sequence that the read has cut in two
        cut = cut if cut >= 0 and not re.search(rb"[A-Za-z~\\]", data[cut:]) else len(data)
        self._pending = data[cut:]
        self._stream.feed(UNKNOWN.sub(b"", data[:cut]))


class Terminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(self, command, columns=100, rows=30, **options):
        self.screen = Screen(columns, rows)
        self._outer, self._inner = pty.openpty()
        self.before = termios.tcgetattr(self._inner)
        self._size(columns, rows)
        self.process = subprocess.Popen(
            command, stdin=self._inner, stdout=self._inner, stderr=self._inner, start_new_session=True, **options
        )

    def _size(self, columns, rows):
        fcntl.ioctl(self._inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(columns, rows)
        self._size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys):
        os.write(self._outer, keys.encode())

    def read(self, timeout_s=0.1):
        """Take in what the program wrote; whether it wrote anything."""
        if not _is_ready(self._outer, select.POLLIN, timeout_s):
            return False
        self.screen.feed(os.read(self._outer, 65_536))
        return True

    @property
    def is_full(self):
        """Whether the program's next write has to wait: nobody read, and the terminal has no room left."""
        return not _is_ready(self._inner, select.POLLOUT, 0)

    def fill(self):
        """Write to it, as another program might, until it is full."""
        own = os.open(os.ttyname(self._inner), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)  # what waits is the program, not the test
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(own, b"." * 1000)
        os.close(own)

    def until(self, condition, what):
        """Read on until the condition holds of the screen's text."""
        end = time.monotonic() + LIMIT_S
        while not condition(self.screen.text):
            assert time.monotonic() < end, f"no {what} on the screen:\n{self.screen.text}"
            assert self.process.poll() is None or self.read(0), f"ended ({self.process.poll()}) before {what}:\n{self.screen.text}"
            self.read()

    def wait(self):
        """The exit code; what the program still writes is read, so that it can end."""
        end = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < end, f"does not end:\n{self.screen.text}"
            self.read()
        while self.read(0):
            pass
        return self.process.returncode

    @property
    def is_as_before(self):
        """Whether the terminal is as it was lent: modes, alternate screen, cursor, mouse, paste, focus."""
        borrowed = {"1049", "1000", "1003", "1006", "1015", "2004", "1004", "2048"}
        return termios.tcgetattr(self._inner) == self.before and not self.screen.modes & borrowed and "25" in self.screen.modes

    def hang_up(self):
        """The window is closed: nobody has the other end any more."""
        os.close(self._outer)
        self._outer = -1

    def close(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._outer >= 0:
            os.close(self._outer)
        os.close(self._inner)


def _is_ready(fd, event, timeout_s):
    """Whether that is so within the time, or the other end has hung up; poll, since select takes no descriptor above 1,023."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(timeout_s * 1000))
