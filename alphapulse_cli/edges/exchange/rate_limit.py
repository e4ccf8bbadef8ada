"""Rate limiter (a token bucket) for an exchange's limits: `burst` at once after a rest, then `per_second` (`protocol.Rate`).

    limit.reserve(now_ns, cost) ─► how many seconds to wait ─► do it

A reservation is spent when it is made, and each one waits for those before it: in any t seconds at most `burst + per_second * t`
happens. The use of a limit is one number in an `Account`: the time at which the whole limit is free again. The place of the account
decides who shares the limit: one process (in memory), or all processes of a machine (`edges.exchange.ledger`).

Times are CLOCK_MONOTONIC in nanoseconds, handed in: one clock for all processes of a machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from alphapulse_cli.exchanges.protocol import Facts, Rate

CONNECTS, SENDS, WEIGHT = "connects", "sends", "weight"
SLOW_NS = 60_000_000_000  # time for which the rate is halved after the exchange said "too fast"

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """Use of one limit: the whole limit is free again at `free_ns`; no reservation is due before `pause_until_ns`."""

    free_ns: int = 0
    pause_until_ns: int = 0


class Accounts(Protocol):
    """Place of accounts, by name."""

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """Call `change` with the account of that name, which it may alter, and return its result.

        No other process alters it meanwhile.
        """


class OwnAccounts:
    """Accounts in memory, for this process alone."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def update(self, name: str, change: Callable[[Account], T]) -> T:
        """Alter an account, as `Accounts.update`."""
        return change(self._accounts.setdefault(name, Account()))


class RateLimit:
    """Limiter of one kind of action at a `Rate`, with its use in the account `name` of `accounts`."""

    def __init__(self, rate: Rate, accounts: Accounts | None = None, name: str = "") -> None:
        assert rate.burst >= 1
        assert rate.per_second > 0
        self.per_minute = round(rate.burst + 60 * rate.per_second)  # most units in any minute
        self._burst = rate.burst
        self._one_ns = 1e9 / rate.per_second
        self._full_ns = int(rate.burst * self._one_ns)
        self._accounts = accounts or OwnAccounts()
        self._name = name
        self._slow_until_ns = 0

    def reserve(self, now_ns: int, cost: int = 1) -> float:
        """Reserve `cost` units; returns the seconds to wait before using them. A cost beyond the burst takes the whole burst."""
        cost_ns = int(min(max(cost, 1), self._burst) * self._one_ns)
        if now_ns < self._slow_until_ns:
            cost_ns = min(2 * cost_ns, self._full_ns)

        def take(account: Account) -> int:
            account.free_ns = max(account.free_ns, now_ns, account.pause_until_ns) + cost_ns
            return max(account.free_ns - self._full_ns, account.pause_until_ns)

        return max(self._accounts.update(self._name, take) - now_ns, 0) / 1e9

    def pause(self, until_ns: int) -> None:
        """Make no reservation due before `until_ns`, as the exchange requested."""

        def close(account: Account) -> None:
            account.pause_until_ns = max(account.pause_until_ns, until_ns)

        self._accounts.update(self._name, close)

    def pause_left_s(self, now_ns: int) -> float:
        """Seconds until a `pause` ends; 0 without one."""
        return max(self._accounts.update(self._name, lambda account: account.pause_until_ns) - now_ns, 0) / 1e9

    def slow_down(self, now_ns: int) -> None:
        """Spend the whole burst, and double all costs for SLOW_NS: the exchange refused us for our rate."""
        self._slow_until_ns = now_ns + SLOW_NS

        def spend(account: Account) -> None:
            account.free_ns = max(account.free_ns, now_ns + self._full_ns)

        self._accounts.update(self._name, spend)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one exchange for a collector: connections, messages sent, and the weight of REST requests."""

    connects: RateLimit
    sends: RateLimit
    weight: RateLimit

    @classmethod
    def of(cls, facts: Facts, shared: Accounts | None = None) -> "Limits":
        """Make the limits of `facts`; those that the exchange counts by address use the `shared` accounts."""
        own = OwnAccounts()
        return cls(
            RateLimit(facts.connects, shared or own, CONNECTS),
            RateLimit(facts.sends, (shared if facts.sends_per_address else None) or own, SENDS),
            RateLimit(facts.rest_weight, shared or own, WEIGHT),
        )

    def of_another(self, facts: Facts) -> "Limits":
        """Limits of another connection of the same collector: its own `sends`, unless the exchange counts those by address."""
        return self if facts.sends_per_address else replace(self, sends=RateLimit(facts.sends))
