"""Faults of a simulated exchange, one after another, and what a library makes of each: it must notice it, and hold the true book again.

    faults = Faults(simulator, report, "BTC-USDT", Held(lambda: client.updates, client.sides, 500))
    await faults.strike("gap", "a lost update", lambda: client.errors)      # the errors must grow, and the book be the true one again
    await faults.refuse("a refused subscription", client.subscribe_to_more, lambda: client.errors)

Kinds are those of docs/how-to/test-a-bot-against-the-simulators.md. What a library shows is given as a text for each time that it did,
or as a number of times. The market moves before a fault, and stands still after it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from common import LIMIT_S, SETTLED_S, Report, Simulator, differences, until

Signs = Callable[[], int | Sequence[str]]
HALT_S = 4.0


@dataclass(frozen=True)
class Held:
    """A book that a library holds: how many updates it has taken, its two sides, the levels a side that it has for sure (None: all).

    Without sides it is a stream that has to go on, for `further` more.
    """

    count: Callable[[], int]
    sides: Callable[[], Sequence[Iterable[Any]]] | None
    depth: int | None = None
    further: int = 20


MORE_LOSSES = 2


class Faults:
    """Causes faults with one symbol, and checks what follows."""

    def __init__(self, simulator: Simulator, report: Report, symbol: str, held: Held) -> None:
        self._simulator, self._report, self._symbol, self._held = simulator, report, symbol, held

    async def strike(
        self,
        kind: str,
        what: str,
        signs: Signs,
        said: str = "",
        *,
        seconds: float = 3.0,
        then: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Cause a fault; the signs of it must grow, and the book must be the true one again.

        `said` tells what a number of signs means; `then` is what a program does where the library itself does nothing.
        """
        before = _count(signs())
        await self._begin(kind, seconds)
        for _ in range(
            MORE_LOSSES if kind == "gap" else 0
        ):  # the next update may make good what the lost one said: nobody can see that
            if await until(lambda: _count(signs()) > before, LIMIT_S / 4):
                break
            await self._begin(kind, seconds)
        await self._notice(what, signs, before, said)
        if then is not None:
            await then()
        await self.heal(what)

    async def refuse(self, what: str, subscribe: Callable[[], Awaitable[object]], signs: Signs, said: str = "") -> None:
        """Have the library's next subscription refused for now, as the exchange refuses one that comes too soon: it must show that."""
        struck = await self._struck("refuse")
        await self._begin("refuse", 0)
        await _by_and_by(lambda: self._struck("refuse"), lambda times: times > struck)
        before = _count(signs())
        await subscribe()
        await self._notice(what, signs, before, said)

    async def halt(self, is_open: Callable[[], Awaitable[object]], said: str) -> None:
        """Halt the market for some seconds: what the library tells of it must change, and change back."""
        await self._begin("halted", HALT_S)
        halted = await _by_and_by(is_open, lambda opened: not opened)
        opened = halted and await _by_and_by(is_open, bool)
        self._report.check("a halted market is told, and its end", opened, said if opened else f"halted {halted}, open {opened}")

    async def heal(self, what: str) -> None:
        """Check that the updates go on, and that the book is the true one when the market stands still."""
        held, before = self._held, self._held.count()
        went_on = await until(lambda: held.count() > before + held.further)
        if held.sides is None or not went_on:
            self._report.check(f"it goes on after {what}", went_on, f"{held.count() - before} updates")
            return
        sides = held.sides
        await asyncio.to_thread(self._simulator.ask, "freeze")
        truth = await asyncio.to_thread(self._simulator.truth, self._symbol)
        await until(lambda: not differences(truth, *sides(), held.depth), SETTLED_S)
        self._report.equal_books(f"the book after {what}", truth, *sides(), held.depth)

    async def _begin(self, kind: str, seconds: float) -> None:
        await asyncio.to_thread(self._simulator.ask, "thaw")
        symbol = "" if kind == "mute" else self._symbol  # of the whole connection, not of its one book
        await asyncio.to_thread(self._simulator.ask, "inject", kind=kind, symbol=symbol, seconds=seconds)

    async def _struck(self, kind: str) -> int:
        """How often that kind has struck, on all connections."""
        state = await asyncio.to_thread(self._simulator.ask, "state")
        return int(state["injections"].get(kind, 0))

    async def _notice(self, what: str, signs: Signs, before: int, said: str) -> None:
        noticed = await until(lambda: _count(signs()) > before)
        shown = signs()
        told = said or (f"{_count(shown) - before} times" if isinstance(shown, int) else shown[before][:200] if noticed else "")
        self._report.check(f"{what} is noticed", noticed, told if noticed else "nothing was shown")


def _count(shown: int | Sequence[str]) -> int:
    return shown if isinstance(shown, int) else len(shown)


async def _by_and_by(asked: Callable[[], Awaitable[Any]], is_wanted: Callable[[Any], bool]) -> bool:
    """Ask until the answer is a wanted one; False at the limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            while not is_wanted(await asked()):  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(0.1)
            return True
    return False


class Said(logging.Handler):
    """What a library writes to its log from now on, of warnings and worse: `lines`, each with its exception and without a traceback."""

    def __init__(self, logger: str) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        logging.getLogger(logger).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append(record.getMessage() + (f" {type(error).__name__}: {error}" if error else ""))

    def with_words(self, words: str) -> list[str]:
        """The lines in which these words are."""
        return [line for line in self.lines if words in line]
