"""Child processes of a benchmark (a ring's reader, a sender, a collector): started afresh, controlled by lines, always reaped.

    with child("latency:listen", path, "bench") as reader:
        reader.send({"do": "listen"})
        answer = reader.hear()

A child is a function in a module of `scenarios`, called with JSON values; it uses `hear` and `send` on its standard input and
output. However the parent ends, the child ends: its input closes, and it never lives longer than CHILD_LIFE_S.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

from alphapulse_cli.errors import AlphapulseError

CHILD_LIFE_S = 300
ANSWER_S = 120.0
MOST_LINE_BYTES = 64 << 20
_RUN = "from alphapulse_cli.apps.bench.children import run; run()"


class Gone(AlphapulseError):
    """Raised when a child process ended or did not answer."""


class Lines:
    """Lines of JSON, and single bytes between them, over two raw descriptors; no data is read ahead."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self._held = b""

    def send(self, value: Any) -> None:
        """Write a value as one line."""
        text = memoryview(json.dumps(value).encode() + b"\n")
        while text:
            text = text[os.write(self.writing, text) :]

    def hear(self, limit_s: float = ANSWER_S) -> Any:
        """Read the next line's value. Gone at the end of the input, or after `limit_s` seconds."""
        until = time.monotonic() + limit_s
        while b"\n" not in self._held:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.reading], [], [], left)[0]:
                raise Gone(f"a process of the benchmark did not answer within {limit_s:.0f} s")
            piece = os.read(self.reading, 1 << 16)
            if not piece or len(self._held) > MOST_LINE_BYTES:
                raise Gone("a process of the benchmark ended early")
            self._held += piece
        line, _, self._held = self._held.partition(b"\n")
        return json.loads(line)

    def ping(self) -> None:
        """Send a byte and wait for its echo; the other side runs `echo`. Gone at the end of the input."""
        os.write(self.writing, b".")
        if not os.read(self.reading, 1):
            raise Gone("a process of the benchmark ended early")

    def echo(self, count: int) -> None:
        """Send back `count` single bytes, one at a time."""
        for _ in range(count):
            os.write(self.writing, os.read(self.reading, 1))


@contextlib.contextmanager
def child(place: str, *arguments: Any) -> Iterator[Lines]:
    """Process that runs `place`, a scenario's "module:function"; killed and reaped at the end. Gone if it ends early."""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 ourselves
            [sys.executable, "-P", "-c", _RUN, place, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C reaches the parent only
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Lines(process.stdout.fileno(), process.stdin.fileno())
        except (Gone, BrokenPipeError) as problem:
            process.kill()
            process.wait()
            raise Gone(f"{problem}; {place} {_last_words(complaints)}") from None
        finally:
            process.kill()
            process.stdin.close()
            process.stdout.close()
            process.wait()


def _last_words(complaints: IO[bytes]) -> str:
    """Last line that a child wrote on stderr, with the hint that follows it in a traceback."""
    complaints.seek(0)
    lines = complaints.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
    hint = f" ({lines.pop()})" if len(lines) > 1 and lines[-1].startswith("hint: ") else ""
    return f"said: {lines[-1]}{hint}" if lines else "said nothing"


def run() -> None:
    """Main function of a child process."""
    signal.alarm(CHILD_LIFE_S)  # the default action ends the process
    module, _, function = sys.argv[1].partition(":")
    called = getattr(importlib.import_module(f"alphapulse_cli.apps.bench.scenarios.{module}"), function)
    called(Lines(sys.stdin.fileno(), sys.stdout.fileno()), *json.loads(sys.argv[2]))
