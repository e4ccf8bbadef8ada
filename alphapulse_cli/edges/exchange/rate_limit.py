"""Limits of an exchange as it states them, kept: so many at once after a rest, then so many a second (`protocol.Rate`).

    limit.reserve(now_ns, cost) ─► how many seconds to wait ─► do it

A reservation is spent at once, whoever waits, and each one waits for those before it, so that in any t seconds no more than
`burst + per_second * t` happens however the reservations fall. What is used up of a limit is one number in an `Account`: the moment when
all of it is free again. Where the account is kept decides who shares the limit: in memory one process, in `edges.exchange.ledger` all of a machine.

Times are CLOCK_MONOTONIC, in nanoseconds, handed in: one clock for all processes of a machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from alphapulse_cli.exchanges.protocol import Facts, Rate

CONNECTS, SENDS, WEIGHT = "connects", "sends", "weight"
SLOW_NS = 60_000_000_000  # how long a limit is kept at half its rate after the exchange said "too fast"

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """What is used up of one limit: all of it is free again at `free_ns`, and nothing may be done before `pause_until_ns`."""

    free_ns: int = 0
    pause_until_ns: int = 0


class Accounts(Protocol):
    """A place where accounts are kept."""

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """What `change` returns of the account of that name, which it may alter; nobody else alters it meanwhile."""


class OwnAccounts:
    """Accounts of this process alone."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """As `Accounts.update`."""
        return change(self._accounts.setdefault(name, Account()))


class RateLimit:
    """One limit."""

    def __init__(self, rate: Rate, accounts: Accounts | None = None, name: str = "") -> None:
        assert rate.burst >= 1
        assert rate.per_second > 0
        self._burst = rate.burst
        self._one_ns = 1e9 / rate.per_second
        self._full_ns = int(rate.burst * self._one_ns)
        self._accounts = accounts or OwnAccounts()
        self._name = name
        self._slow_until_ns = 0

    def reserve(self, now_ns: int, cost: int = 1) -> float:
        """Take `cost` out of the limit; in how many seconds it may be spent. A cost beyond the burst takes all of it."""
        cost_ns = int(min(max(cost, 1), self._burst) * self._one_ns)
        if now_ns < self._slow_until_ns:
            cost_ns = min(2 * cost_ns, self._full_ns)

        def take(account: Account) -> int:
            account.free_ns = max(account.free_ns, now_ns, account.pause_until_ns) + cost_ns
            return max(account.free_ns - self._full_ns, account.pause_until_ns)

        return max(self._accounts.update(self._name, take) - now_ns, 0) / 1e9

    def pause(self, until_ns: int) -> None:
        """Nothing before that: the other side said so."""

        def close(account: Account) -> None:
            account.pause_until_ns = max(account.pause_until_ns, until_ns)

        self._accounts.update(self._name, close)

    def pause_left_s(self, now_ns: int) -> float:
        """How long a `pause` still lasts; 0 for none."""
        return max(self._accounts.update(self._name, lambda account: account.pause_until_ns) - now_ns, 0) / 1e9

    def slow_down(self, now_ns: int) -> None:
        """The other side finds us too fast: the burst is spent, and for a minute everything costs twice."""
        self._slow_until_ns = now_ns + SLOW_NS

        def spend(account: Account) -> None:
            account.free_ns = max(account.free_ns, now_ns + self._full_ns)

        self._accounts.update(self._name, spend)


@dataclass(frozen=True, slots=True)
class Limits:
    """An exchange's, of one collector: connections, messages sent, and the weight of REST requests."""

    connects: RateLimit
    sends: RateLimit
    weight: RateLimit

    @classmethod
    def of(cls, facts: Facts, shared: Accounts | None = None) -> "Limits":
        """Those of `facts`; what the exchange counts by address is in the `shared` accounts."""
        own = OwnAccounts()
        return cls(
            RateLimit(facts.connects, shared or own, CONNECTS),
            RateLimit(facts.sends, (shared if facts.sends_per_address else None) or own, SENDS),
            RateLimit(facts.rest_weight, shared or own, WEIGHT),
        )
