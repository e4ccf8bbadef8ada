"""Kraken's channel `status`: the state of the whole exchange, and announced maintenance.

    {"channel":"status","type":"update","data":[{"system":"online","upcoming_maintenance":[{"title":…,"expected_start_utc":…}],…}]}

Kraken sends it without a subscription, at the start of each connection and at each change.
"""

from collections.abc import Mapping
from typing import Any

from alphapulse_cli.exchanges.kraken.entries import text
from alphapulse_cli.market.events import SystemStatus
from alphapulse_cli.market.trading_status import TradingStatus

MOST_ANNOUNCEMENTS = 20  # most announcements read from one list
STATUSES = {  # Kraken's status word -> trading status of the exchange
    "online": TradingStatus.TRADING,
    "limit_only": TradingStatus.LIMIT_ONLY,
    "post_only": TradingStatus.POST_ONLY,
    "cancel_only": TradingStatus.CANCEL_ONLY,
    "maintenance": TradingStatus.SUSPENDED,
}
TIMES = {"from": "expected_start_utc", "to": "expected_end_utc"}
ANNOUNCED = {"upcoming_maintenance": "maintenance", "emergency": "emergency"}  # Kraken's list -> label of its entries


def read_status(entry: Mapping[str, Any]) -> SystemStatus:
    """Status of an entry of `data`.

    KeyError or ValueError for one without a state; announcements of unknown shape are kept as text.
    """
    word = text(entry["system"])
    announcements = [
        f"{kind}: {_announcement(announced)}"
        for name, kind in ANNOUNCED.items()
        for announced in _list(entry.get(name))[:MOST_ANNOUNCEMENTS]
    ]
    return SystemStatus(word, STATUSES.get(word, TradingStatus.UNKNOWN), tuple(announcements))


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _announcement(announced: object) -> str:
    """Text of an announcement: title, start and end, if present."""
    if not isinstance(announced, dict):
        return text(announced if isinstance(announced, str) else repr(announced))
    parts = [
        text(str(announced["title"])) if announced.get("title") else "without a title",
        *(f"{word} {text(str(announced[key]))}" for word, key in TIMES.items() if announced.get(key)),
    ]
    return ", ".join(parts)
