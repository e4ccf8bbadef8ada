#!/usr/bin/env bash
# fastavro: a field of type long takes 65000.75 and stores 65000, also with strict=True.
#
# Expected   A schema says long for ticks. A price that slips in as a float with a fraction is a mistake of the program; one expects an error, as
#            the writer raises one for a text.
# Seen       The number is cut to an integer and written, also with strict=True, which looks at the names of the fields alone. `validate` and
#            `writer(..., validator=True)` refuse it.
# Versions   fastavro 1.13.1; seen 2026-11-28.
# Matters    Prices in whole dollars where ticks were meant, found when the files are read, or never.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check fastavro==1.13.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import io
import sys

import fastavro

SCHEMA = fastavro.parse_schema({"type": "record", "name": "Trade", "fields": [{"name": "price_ticks", "type": "long"}]})


def written(**options):
    """What comes back, or the name of the error."""
    file = io.BytesIO()
    try:
        fastavro.writer(file, SCHEMA, [{"price_ticks": 65000.75}], **options)
    except Exception as error:  # which one is to be seen
        return type(error).__name__
    file.seek(0)
    return next(iter(fastavro.reader(file)))["price_ticks"]


seen = [written(), written(strict=True), written(validator=True)]
for how, value in zip(("plain", "strict=True", "validator=True"), seen, strict=True):
    print(f"65000.75 written as long, {how}: {value}")
described = [65000, 65000, "ValidationError"]
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
