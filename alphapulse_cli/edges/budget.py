"""What an exchange lets us do in a span of time: so much at once if nothing was done lately, never more than that in any span.

A ledger of what was spent lately, not a rate: the first connections or snapshots go out together, and the bound holds exactly
however they fall. Times are monotonic nanoseconds, handed in.
"""

from collections import deque


class Budget:
    """At most `amount` (of connections, of weight) in any `span_s` seconds."""

    def __init__(self, amount: int, span_s: float) -> None:
        self._amount = max(amount, 1)
        self._span_ns = int(span_s * 1e9)
        self._spent: deque[tuple[int, int]] = deque()  # (when, how much), of the last span and of what is promised
        self._sum = 0
        self._not_before_ns = 0

    def reserve(self, now_ns: int, cost: int = 1) -> float:
        """Take `cost` out of the budget; in how many seconds it may be spent. One beyond the whole budget takes all of it."""
        cost = min(max(cost, 1), self._amount)
        at_ns = max(now_ns, self._not_before_ns, self._spent[-1][0] if self._spent else 0)
        while self._spent and (self._sum + cost > self._amount or self._spent[0][0] + self._span_ns <= at_ns):
            spent_ns, amount = self._spent.popleft()
            self._sum -= amount
            at_ns = max(at_ns, spent_ns + self._span_ns)
        self._spent.append((at_ns, cost))
        self._sum += cost
        return (at_ns - now_ns) / 1e9

    def pause(self, until_ns: int) -> None:
        """Nothing before that: the other side said so."""
        self._not_before_ns = max(self._not_before_ns, until_ns)
