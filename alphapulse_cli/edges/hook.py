"""Hook: a command of the user that is run, without a shell, with a sentence as one further argument.

    on_alarm = ["notify-send", "--urgency=critical"]  ─►  notify-send --urgency=critical "alphapulse: kraken BTC-USD: spread > 5 (…)"

The sentence is made printable and never begins with a dash: whatever an exchange calls its symbols, it is neither an option nor an
escape sequence. The command has no input, its output is discarded, and at most MOST_RUNNING runs are under way at once.
"""

import subprocess
from collections.abc import Sequence

from alphapulse_cli.edges.safe_text import safe

MOST_RUNNING = 4
MOST_CHARACTERS = 500


class Hook:
    """The user's command, and `running`: its runs of which no end is known yet."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, text: str) -> str:
        """Start the command with this text, without waiting for it. Returns a sentence about a failure, or ""."""
        self.running = [one for one in self.running if one.poll() is None]
        if not self._command:
            return ""
        if len(self.running) >= MOST_RUNNING:
            return f"on_alarm: {MOST_RUNNING} runs of {self._command[0]} have not ended, so it was not run again"
        argument = f"alphapulse: {safe(text)}"[:MOST_CHARACTERS]
        try:
            self.running.append(
                subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    [*self._command, argument],
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
        """Leave the runs that have not ended to themselves."""
        for one in self.running:
            if one.poll() is None:
                one.returncode = 0  # else Popen warns that the child still runs, which is intended
        self.running.clear()
