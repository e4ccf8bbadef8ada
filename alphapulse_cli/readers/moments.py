"""Times as text, RFC 3339: in UTC with Z, or, where --local asks for it, in local time with its offset.

moment(ns)                2026-11-27T10:55:37.123456Z       with `local`: 2026-11-27T11:55:37.123456+01:00
time_of_day(ns)           10:55:37.123456Z                  the same without its day, for lines of a live feed
parse("2026-11-27T10:55:37Z")                               nanoseconds; a time without an offset is refused as ambiguous
nanoseconds(time)           the same of a text, of nanoseconds or of an aware datetime: the times of the Python API
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from operator import index

from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.timestamps import SECOND_NS, rfc3339_ns

UNKNOWN = "----------T--:--:--.------Z"  # for a time beyond the calendar, in a damaged record
WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?", re.ASCII)
Time = str | int | datetime
HINT = "write it in UTC, as in 2026-11-27T10:55:37Z, or with its offset, as in 2026-11-27T11:55:37+01:00"


REPLAY = "REPLAY"  # word of every output about a set that a replay writes


def replay_words(recording_ns: int) -> str:
    """Text that tells a replay from a live set: REPLAY, and the time that it has reached in the recording if that is known."""
    return f"{REPLAY} at {moment(recording_ns, digits=3)}" if recording_ns else REPLAY


def replay_warning(set_name: str, recording_ns: int = 0) -> str:
    """Sentence about a set that a replay writes, for stderr."""
    return f"{replay_words(recording_ns)}: {set_name} is not live, it is played from a recording"


def age_ms(timestamp_ns: int, now_ns: int) -> float | None:
    """Age in milliseconds of what was received at `timestamp_ns`, at `now_ns` of the same clock (`Segment.now_ns`).

    None if either is 0: not known.
    """
    return (now_ns - timestamp_ns) / 1e6 if timestamp_ns and now_ns else None


def moment(ns: int, *, local: bool = False, digits: int = 6) -> str:
    """RFC 3339 text of `ns` nanoseconds since 1970: UTC with Z, or local with its offset; `digits` (1 to 9) behind the point."""
    seconds, rest = divmod(ns, SECOND_NS)
    whole = _second(seconds, local)
    return f"{whole[0]}.{rest // 10 ** (9 - digits):0{digits}d}{whole[1]}" if whole else UNKNOWN


def time_of_day(ns: int, *, local: bool = False, digits: int = 6) -> str:
    """Text of `moment` without its day."""
    return moment(ns, local=local, digits=digits)[11:]


@lru_cache(64)
def _second(seconds: int, local: bool) -> tuple[str, str] | None:
    """Text of a second before the point and after it (Z or the offset); None beyond the calendar."""
    try:
        when = datetime.fromtimestamp(seconds, UTC)
        if local:
            here = when.astimezone().isoformat(timespec="seconds")
            return here[:19], here[19:]
    except (OverflowError, ValueError, OSError):
        return None
    return when.isoformat(timespec="seconds")[:19], "Z"


def parse(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with Z or an offset.

    UsageError for any other text, a time without an offset too.
    """
    try:
        return rfc3339_ns(text.strip().upper())
    except ValueError:
        if WITHOUT_OFFSET.fullmatch(text.strip()):
            raise UsageError(f"a time without an offset: {text[:40]!r}", HINT) from None
        raise UsageError(f"not a time: {text[:40]!r}", HINT) from None


def nanoseconds(time: Time) -> int:
    """Nanoseconds since 1970 of a text, of nanoseconds or of an aware datetime.

    UsageError for a text or a datetime without an offset, and for what is no time.
    """
    if isinstance(time, str):
        return parse(time)
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise UsageError(f"a time without an offset: {time.isoformat()}", HINT)
        return parse(time.isoformat())
    try:
        return index(time)
    except TypeError:
        raise UsageError(
            f"not a time: {str(time)[:40]!r}", "a text as 2026-11-27T10:55:37Z, whole ns since 1970, or a datetime with a time zone"
        ) from None
