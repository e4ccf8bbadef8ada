"""A command of the user's that is told something: run as an argument list, by no shell, with one argument more.

    on_alarm = ["notify-send", "--urgency=critical"]  ─►  notify-send --urgency=critical "alphapulse: kraken BTC-USD: spread > 5 (…)"

What it is told is made printable first, and never begins with a dash: it is no option and no escape sequence, whatever an exchange
calls its symbols. The command gets no input, what it prints goes nowhere, and no more than MOST_RUNNING run at once.
"""

import subprocess
from collections.abc import Sequence

from alphapulse_cli.edges.safe_text import safe

MOST_RUNNING = 4
MOST_CHARACTERS = 500


class Hook:
    """The command, and those runs of it that have not ended."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._running: list[subprocess.Popen[bytes]] = []

    def tell(self, text: str) -> str:
        """Run it with this; what went wrong in a sentence, "" for nothing. It does not wait for the command."""
        self._running = [one for one in self._running if one.poll() is None]
        if not self._command:
            return ""
        if len(self._running) >= MOST_RUNNING:
            return f"on_alarm: {MOST_RUNNING} runs of {self._command[0]} have not ended, so it was not told"
        told = f"alphapulse: {safe(text)}"[:MOST_CHARACTERS]
        try:
            self._running.append(
                subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    [*self._command, told],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        except (OSError, ValueError) as error:
            return f"on_alarm: {self._command[0]} cannot be run: {getattr(error, 'strerror', None) or error}"
        return ""

    def leave(self) -> None:
        """Nobody waits for those that still run: they go on without us."""
        for one in self._running:
            if one.poll() is None:
                one.returncode = 0  # else Popen complains that it was left alone, which is what is meant
        self._running.clear()
