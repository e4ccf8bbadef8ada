"""`alphapulse` with one more command, `endless`, whose subcommands end in every way that a command can: run as a script by tests/cli.

The real `main` runs it; only the command table has one more row.
"""

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from alphapulse_cli.cli import app as entry
from alphapulse_cli.cli import commands, options, render
from alphapulse_cli.errors import IntegrityError

app = options.command_app(help="Ends in every way.")


@app.command()
def rows(as_json: options.Json = False, count: options.Count = None, duration: options.Duration = None) -> None:
    """Rows without end, or `--count` of them."""
    render.emit_json(numbered(count))


def numbered(count: int | None) -> Iterator[dict[str, Any] | None]:
    number = 0
    while count is None or number < count:
        yield {"number": number, "symbol": "BTC-USD"}
        number += 1
    yield None


@app.command()
def wait() -> None:
    """Says that it waits, waits, and says when it was let go."""
    try:
        print("waiting", flush=True)
        for _ in range(600):  # a signal that comes just before a wait is seen after it
            threading.Event().wait(0.1)
    finally:
        print("closed", flush=True)


@app.command()
def fail(how: str) -> None:
    """Raises something."""
    match how:
        case "ours":
            raise ZeroDivisionError("division\nby\x1b[2Jzero")
        case "integrity":
            raise IntegrityError("replica of BTC\x1b[2J-USD differs\nfrom its writer", "alphapulse segments")
        case "world":
            os.open("/nowhere/at\x1ball", os.O_RDONLY)
        case "exit":
            sys.exit(5)


if __name__ == "__main__":
    commands.available()["endless"] = commands.Entry("endless", "Ends in every way")
    sys.modules["alphapulse_cli.cli.endless"] = sys.modules["__main__"]
    sys.exit(entry.main())
