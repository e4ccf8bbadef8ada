"""A pseudo-terminal with a program in it, and what stands on its screen: as much of a terminal as Textual's output needs."""

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

LIMIT_S = 60.0
ESCAPE = re.compile(
    rb"\x1b\[(?P<arguments>[0-9;?<>=!$]*)(?P<final>[@-~])"  # CSI
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1b[()][A-Z0-9]|\x1b[^\[\]P()]"  # never the half of one that is cut by the read
)


class Screen:
    """The characters on a terminal's screen, and which of its modes are on. Wide characters and scrolling are not needed here."""

    def __init__(self, columns, rows):
        self.modes = set()
        self._pending = b""
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0

    @property
    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def feed(self, octets):
        data = self._pending + octets
        self._pending = b""
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                found = ESCAPE.match(data, at)
                if found is None:
                    again = data.find(b"\x1b", at + 2)
                    if again >= 0 and data[at + 1 : at + 2] == b"[":  # as a terminal does: another one ends what was not ended
                        at = again
                        continue
                    self._pending = data[at:]
                    return
                if found["final"]:
                    self._control(found["arguments"].decode(), found["final"].decode())
                at = found.end()
                continue
            end = data.find(b"\x1b", at)
            end = len(data) if end < 0 else end
            try:
                words = data[at:end].decode()
            except UnicodeDecodeError as error:  # a character cut in two by the read
                words, self._pending = data[at : at + error.start].decode(), data[at + error.start :]
                self._write(words)
                return
            self._write(words)
            at = end

    def _write(self, words):
        for character in words:
            if character == "\n":
                self.y += 1
            elif character == "\r":
                self.x = 0
            elif character >= " " and self.y < self.rows:
                if self.x < self.columns:
                    self.cells[self.y][self.x] = character
                self.x += 1

    def _control(self, arguments, final):
        numbers = [int(part) if part.isdigit() else 0 for part in arguments.split(";")]
        if final in "Hf":
            row, column = ([*numbers, 1, 1])[:2] if arguments else (1, 1)
            self.y, self.x = max(row, 1) - 1, max(column, 1) - 1
        elif final == "J":
            self.resize(self.columns, self.rows)
        elif final == "K" and self.y < self.rows:
            self.cells[self.y][self.x :] = [" "] * (self.columns - self.x)
        elif final in "hl" and arguments.startswith("?"):
            for mode in arguments[1:].split(";"):
                (self.modes.add if final == "h" else self.modes.discard)(mode)


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
        if not select.select([self._outer], [], [], timeout_s)[0]:
            return False
        self.screen.feed(os.read(self._outer, 65_536))
        return True

    @property
    def waiting(self):
        """Bytes that the program wrote and nobody read yet."""
        return struct.unpack("i", fcntl.ioctl(self._outer, termios.FIONREAD, b"\0" * 4))[0]

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
