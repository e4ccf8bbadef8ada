"""What may never happen, looked at ten times a second of virtual time and after every frame.

J1  A book that says LIVE and is not the exchange's true book is so for no longer than the fault at work allows (`allow`), else 1 s.
J2  Straight after a frame of a book arrived undamaged and in its turn, that book, if LIVE, is the true one as it was when the frame was
    made; not while a fault is at work that nobody can know of yet.
J3  A LIVE book is not crossed or locked in itself for longer than 4 s.
J4  Once faults have ended, every book is LIVE within the bound, and the true one, level for level; so is a reader's replica of it.
J5  No trade is published twice; those that are published neither live nor as history are those that were reported missed.
J6  The trading status told beside a LIVE book is the exchange's: at once where the feed tells it, else after the next look at the metadata.
"""

import hashlib
from collections import deque

from alphapulse_cli.shm import clock
from alphapulse_cli.wire.delta import BookState

USUAL_S, CROSSED_S = 1.0, 4.0


class Judge:
    def __init__(self, world):
        self._world = world
        self._allowed = []  # (until_ns, seconds, symbol or "")
        self._different_since = {}
        self._crossed_since = {}
        self._untold_since = {}
        self._told = {}  # frame -> (symbol, when it was made, the true book then), in order
        self._newest_ns = {}
        self.samples = self.all_live = 0
        self.dark_ns = {}  # symbol -> of its present time not LIVE, since when
        self.longest_dark_s = 0.0
        self._last_true = False
        self.accusations = []
        self._digest = hashlib.sha256()

    def allow(self, seconds, symbol="", *, lasts_s=0.0):
        """A fault is at work: for so long a LIVE book may be wrong without anybody's knowing."""
        self._allowed.append((clock.monotonic_ns() + int((lasts_s + seconds) * 1e9), seconds, symbol))

    def _sample_status(self, symbol, now_ns):
        keeper, true = self._world.keeper(symbol), self._world.sim.truth.instruments[symbol].trading_status
        told = keeper.trading_status
        self._since(self._untold_since, symbol, now_ns, keeper.state is BookState.LIVE and told is not true)
        if (now_ns - self._untold_since.get(symbol, now_ns)) / 1e9 > max(
            self._world.status_within_s, self._allowed_s(symbol, now_ns)
        ):
            self._accuse(f"J6 {symbol}: told to be {told.name}, and is {true.name}")

    def _allowed_s(self, symbol, now_ns):
        known = [seconds for until_ns, seconds, of in self._allowed if now_ns <= until_ns and of in ("", symbol)]
        return max([USUAL_S, *known])

    def told(self, frame, symbol):
        """A frame of this book was made now."""
        self._told.setdefault(frame, deque()).append((symbol, clock.monotonic_ns(), self._world.true_book(symbol)))

    def after_frame(self, frame):
        self.note(b"frame", frame)
        if not self._told.get(frame):
            return
        symbol, made_ns, true = self._told[frame].popleft()
        if not self._told[frame]:
            del self._told[frame]
        is_late, self._newest_ns[symbol] = made_ns < self._newest_ns.get(symbol, 0), max(made_ns, self._newest_ns.get(symbol, 0))
        if is_late or self._allowed_s(symbol, clock.monotonic_ns()) > USUAL_S:
            return
        keeper = self._world.keeper(symbol)
        if keeper.state is BookState.LIVE and self._world.held_book(symbol) != true:
            self._accuse(f"J2 {symbol}: LIVE and wrong straight after a frame of it")

    def is_true_now(self):
        """At the last look all books were true."""
        return self._last_true

    def sample(self):
        now_ns = clock.monotonic_ns()
        states, all_true = [], True
        for symbol in self._world.symbols:
            keeper = self._world.keeper(symbol)
            is_live = keeper.state is BookState.LIVE
            states.append(is_live)
            bids, asks = held = self._world.held_book(symbol)
            is_true = held == self._world.true_book(symbol)
            all_true = all_true and is_true
            self._since(self._different_since, symbol, now_ns, is_live and not is_true)
            self._since(self._crossed_since, symbol, now_ns, is_live and bids and asks and bids[0][0] >= asks[0][0])
            self._since(self.dark_ns, symbol, now_ns, not is_live)
            different_s = (now_ns - self._different_since.get(symbol, now_ns)) / 1e9
            if different_s > self._allowed_s(symbol, now_ns):
                self._accuse(f"J1 {symbol}: LIVE ({keeper.reason.name}) and wrong for {different_s:.1f} s")
            if (now_ns - self._crossed_since.get(symbol, now_ns)) / 1e9 > CROSSED_S:
                self._accuse(f"J3 {symbol}: LIVE and crossed in itself")
            self.longest_dark_s = max(self.longest_dark_s, (now_ns - self.dark_ns.get(symbol, now_ns)) / 1e9)
            self._sample_status(symbol, now_ns)
            self.note(symbol, keeper.state.name, keeper.reason.name, keeper.version)
        self._last_true = all_true
        self.samples += 1
        self.all_live += all(states)

    @staticmethod
    def _since(times, symbol, now_ns, holds):
        if holds:
            times.setdefault(symbol, now_ns)
        else:
            times.pop(symbol, None)

    def _accuse(self, what):
        if len(self.accusations) < 20 and (not self.accusations or self.accusations[-1].split(" ", 1)[1] != what):
            self.accusations.append(f"{self._world.elapsed_s:.1f} {what}")

    def note(self, *what):
        self._digest.update(repr((clock.monotonic_ns(), *what)).encode())

    @property
    def trace_hash(self):
        return self._digest.hexdigest()[:16]
