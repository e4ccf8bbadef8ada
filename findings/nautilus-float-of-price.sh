#!/usr/bin/env bash
# nautilus_trader: float() of a Price or a Quantity is, for a fifth of all values, not the float nearest to it: 57814.31 becomes 57814.310000000005.
#
# Expected   A Price made of "57814.31" converts to the same float as Python's own 57814.31: both hold the number exactly, as text shows, and one float
#            is nearest to it. So float(price) == 57814.31, and equal prices of two sources are equal as floats.
# Seen       float(), as_double(), and what is built on them (a book level's size() and exposure()) are one unit in the last place beside it for about 20 % of prices of
#            2 decimals and of sizes of 8 (builds with 128-bit values of 16 decimals, the default on Linux). as_decimal() and str() are exact.
# Versions   nautilus_trader 1.231.0, Python 3.12; seen 2026-11-28.
# Matters    Strategies that compare float(price) with a price from a file, numpy or a REST answer; sizes turned into whole lots by int() or % 1.
set -euo pipefail
python=${PYTHON:-}
for one in python3.12 python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python python3; do
  [ -n "$python" ] || ! "$one" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || python=$one
done
[ -n "$python" ] || { echo "not tried: nautilus_trader 1.231 needs Python 3.12 or newer (PYTHON=/path/to/it)"; exit 2; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "$python" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check nautilus_trader==1.231.0
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys
from decimal import Decimal

from nautilus_trader.model.objects import Price, Quantity

price, size = Price.from_str("57814.31"), Quantity.from_str("354.08072675")
print(f"float(Price 57814.31): {float(price)!r}; as text {price}; exact {price.as_decimal()}")
print(f"float(Quantity 354.08072675): {float(size)!r}; as text {size}; exact {size.as_decimal()}")
prices = [f"{ticks // 100}.{ticks % 100:02d}" for ticks in range(5_000_000, 5_100_000, 7)]
others = sum(float(Price.from_str(text)) != float(text) for text in prices)
are_exact = all(Price.from_str(text).as_decimal() == Decimal(text) for text in prices)
print(f"of {len(prices)} prices {others} have another float; as_decimal is exact for all: {are_exact}")
is_so = float(price) != 57814.31 and float(size) != 354.08072675 and others > len(prices) // 10 and are_exact
print("as described" if is_so else "CHANGED")
sys.exit(not is_so)
PY
