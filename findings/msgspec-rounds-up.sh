#!/usr/bin/env bash
# msgspec: nanoseconds of an RFC 3339 time are rounded, so a time can be after its message was sent, and on the next day.
#
# Expected   A datetime holds microseconds. What is finer is cut, as Python's own fromisoformat does (documented at time.fromisoformat:
#            anything beyond 6 digits is truncated); then order and day stay right. msgspec's page "Supported Types" says nothing of it.
# Seen       msgspec rounds to the nearest microsecond: 23:59:59.9999995Z of one day is 00:00:00 of the next. As datetime.time the same
#            digits become 00:00:00 of the same day, 24 hours back. The last 500 ns of the last year that a datetime knows are an error.
# Versions   msgspec 0.22.0; seen 2026-11-27.
# Matters    Coinbase's Advanced Trade feed sends nanoseconds. About half of its times decode to after they were; a trade in the last half
#            microsecond of a day falls into the next day's file and candle. Decode as str, and take the digits as an integer.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check msgspec==0.22.0
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import datetime
import sys

import msgspec


def decoded(text, kind):
    try:
        return msgspec.json.decode(f'"{text}"', type=kind).isoformat()
    except msgspec.ValidationError as error:
        return f"ValidationError: {error}"


described = {
    ("2026-08-12T19:27:47.532655123Z", datetime.datetime): ("2026-08-12T19:27:47.532655+00:00", "2026-08-12T19:27:47.532655+00:00"),
    ("2026-08-12T19:27:47.532655500Z", datetime.datetime): ("2026-08-12T19:27:47.532656+00:00", "2026-08-12T19:27:47.532655+00:00"),
    ("2026-08-12T23:59:59.999999500Z", datetime.datetime): ("2026-08-13T00:00:00+00:00", "2026-08-12T23:59:59.999999+00:00"),
    ("23:59:59.999999500", datetime.time): ("00:00:00", "23:59:59.999999"),
    ("9999-12-31T23:59:59.999999500Z", datetime.datetime): (
        "ValidationError: Invalid RFC3339 encoded datetime",
        "9999-12-31T23:59:59.999999+00:00",
    ),
}
seen = {}
for text, kind in described:
    seen[text, kind] = decoded(text, kind), kind.fromisoformat(text).isoformat()
    print(f"{text:<32}msgspec {seen[text, kind][0]:<50}Python {seen[text, kind][1]}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
