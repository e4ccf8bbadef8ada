"""Kraken's times: RFC 3339 text in UTC, to microseconds, and nanoseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_NS = (1 << 63) - 1  # the year 2262: what is later fits no record


def to_ns(text: object) -> int:
    """Nanoseconds since 1970 of "2026-08-12T19:27:47.532655Z". ValueError for anything else, for times before 1970 and after 2262."""
    if not isinstance(text, str):
        raise ValueError("a time is not text")  # noqa: TRY004 - one kind of error for all that a frame can hold
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    since = moment - EPOCH
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    if not 0 <= ns <= LATEST_NS:
        raise ValueError("a time outside 1970 to 2262")
    return ns


def to_text(ns: int) -> str:
    """RFC 3339 text with microseconds; what is finer is cut."""
    moment = EPOCH + timedelta(microseconds=ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
