"""What the files of the libraries share: the simulator's control, exact comparisons with its truth, and the report. Standard library only.

    python with_ccxt.py EXCHANGE WEBSOCKET_URL REST_URL CONTROL_URL        as drive.py starts it

    async def main(simulator, report):
        report.equal_books("book", simulator.truth("BTC-USDT"), bids, asks, depth=500)
        report.check("markets", bool(markets), f"{len(markets)} markets")

    run(main)

Each check is printed as a line of JSON; the process ends with 1 if one failed.
"""

import asyncio
import json
import os
import sys
import time
import traceback
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

LIMIT_S = 30.0
LAST = "ALPHAPULSE_LAST_CHECK"  # variable: the check after which a run ends, "" for none
SETTLED_S = 10.0  # in which what was sent is read


class Readers:
    """Tasks that read a library's streams for ever; a stream that raises is noted and read again, as the libraries' examples do."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def read(self, *streams: Callable[[], Awaitable[None]]) -> None:
        """Begin to read these too."""
        self.tasks += [asyncio.create_task(self._on(stream)) for stream in streams]

    async def _on(self, stream: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await stream()
            except Exception as error:
                self.errors.append(f"{stream.__name__}: {type(error).__name__}: {str(error)[:150]}")
                await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Simulator:
    """Addresses of the simulated exchange, and its control."""

    exchange: str
    websocket_url: str
    rest_url: str
    control_url: str

    @classmethod
    def of_arguments(cls) -> "Simulator":
        return cls(*sys.argv[1:5])

    @property
    def websocket_origin(self) -> str:
        """ws://host:port, or wss://."""
        return "/".join(self.websocket_url.split("/")[:3])

    @property
    def rest_origin(self) -> str:
        """http://host:port, or https://."""
        return "/".join(self.rest_url.split("/")[:3])

    def ask(self, what: str, **query: object) -> Any:
        """Answer of the control: see control.py."""
        with urllib.request.urlopen(f"{self.control_url}/{what}?{urllib.parse.urlencode(query)}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def truth(self, symbol: str) -> Any:
        return self.ask("truth", symbol=symbol)

    def redirected(self, urls: Any) -> Any:
        """The same addresses, on this machine: of every text in a structure that begins with wss://host or https://host."""
        if isinstance(urls, Mapping):
            return {key: self.redirected(value) for key, value in urls.items()}
        if not isinstance(urls, str):
            return urls
        scheme, _, rest = urls.partition("://")
        origin = self.websocket_origin if scheme in ("ws", "wss") else self.rest_origin if scheme in ("http", "https") else ""
        return origin + rest[len(rest.partition("/")[0]) :] if origin else urls


class Report:
    """Checks of one run."""

    def __init__(self) -> None:
        self.failed = 0
        self._last = os.environ.get(LAST, "")

    def check(self, what: str, is_right: object, detail: str = "") -> bool:
        """Print one check; a short text names it in the table, the detail is told of this run."""
        self.failed += not is_right
        print(json.dumps({"checked": what, "ok": bool(is_right), "detail": detail}), flush=True)
        if what == self._last:
            self.end()
        return bool(is_right)

    def equal_books(self, what: str, truth: Any, bids: Iterable[Any], asks: Iterable[Any], depth: int | None = None) -> bool:
        """Check both sides, level by level in exact decimals: the best `depth` levels, all for None."""
        problems = differences(truth, bids, asks, depth)
        count = sum(len(truth[side][:depth]) for side in ("bids", "asks"))
        return self.check(what, not problems, "; ".join(problems) or f"{count} levels equal")

    def equal_trades(self, what: str, true_rows: Sequence[Sequence[Any]], got: Mapping[str, tuple[str, Any, Any]]) -> bool:
        """Check trades, {id: (taker's side, price, size)}: each one right, and none missing between the first and the last."""
        true = {row[0]: (row[1], Decimal(row[2]), Decimal(row[3])) for row in true_rows}
        ids = [trade_id for trade_id in true if trade_id in got]
        order = list(true)
        wrong = [one for one in ids if (got[one][0].lower(), Decimal(str(got[one][1])), Decimal(str(got[one][2]))) != true[one]]
        between = order[order.index(ids[0]) : order.index(ids[-1]) + 1] if ids else []
        missing = [one for one in between if one not in got]
        invented = [one for one in got if order and int(order[0]) <= int(one) and one not in true]
        detail = f"{len(ids)} trades, {len(wrong)} wrong, {len(missing)} missing, {len(invented)} invented"
        return self.check(what, ids and not (wrong or missing or invented), detail)

    async def refused(self, what: str, request: Awaitable[object], kind: type[Exception], words: str) -> bool:
        """Check that a request ends with the library's own exception, which has the exchange's words."""
        try:
            answer = await request
        except Exception as error:
            is_right = isinstance(error, kind) and words in str(error)
            return self.check(what, is_right, f"{type(error).__name__}: {words if is_right else str(error)[:150]}")
        return self.check(what, is_right=False, detail=f"answered: {str(answer)[:150]}")

    def end(self) -> NoReturn:
        """End the process at once, whatever threads the library still has."""
        sys.stdout.flush()
        os._exit(1 if self.failed else 0)


def differences(truth: Any, bids: Iterable[Any], asks: Iterable[Any], depth: int | None = None) -> list[str]:
    """Differences of a book and the truth, a text for each side that has any."""
    problems = []
    for side, rows in (("bids", bids), ("asks", asks)):
        true = {Decimal(price): Decimal(size) for price, size in truth[side][:depth]}
        got = {Decimal(str(row[0])): Decimal(str(row[1])) for row in rows}
        best = sorted(got, reverse=side == "bids")[:depth]
        got = {price: got[price] for price in best}
        wrong = [price for price in {**true, **got} if true.get(price) != got.get(price)]
        problems += [f"{len(wrong)} {side} of {len(true)} differ, first {wrong[0]}"] if wrong else []
    return problems


def run(main: Callable[[Simulator, Report], Awaitable[None]]) -> NoReturn:
    """Run an asynchronous program to its end; what it raises is a failed check."""
    report = Report()

    async def guarded() -> None:
        try:
            await main(Simulator.of_arguments(), report)
        except Exception as error:
            traceback.print_exc()
            report.check("no exception", is_right=False, detail=f"{type(error).__name__}: {str(error)[:200]}")
        report.end()

    asyncio.run(guarded())
    raise AssertionError("`end` ends the process")


async def until(reached: Callable[[], object], limit_s: float = LIMIT_S) -> bool:
    """Wait until it is so; False at the limit."""
    end = time.monotonic() + limit_s
    while not reached():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


def wait_until(reached: Callable[[], object], limit_s: float = LIMIT_S) -> bool:
    """The same for programs with threads."""
    end = time.monotonic() + limit_s
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
