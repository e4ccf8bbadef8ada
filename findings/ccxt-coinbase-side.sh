#!/usr/bin/env bash
# ccxt: of one and the same trade, its `coinbase` says that the taker sold, and its `coinbaseexchange` that the taker bought.
#
# Expected   Both feeds tell trades of the same books under the same ids, with the maker's side: documented for the Exchange ("side: the maker
#            order side"), and seen in Advanced Trade, where trades that walk up through three offers say SELL. A unified trade's `side` is
#            the taker's, so both of ccxt's classes invert it.
# Seen       A trade of either feed with side "SELL" ("sell"): `coinbaseexchange` inverts it to buy, `coinbase` passes sell on, in watch_trades
#            and fetch_trades alike.
# Versions   ccxt 4.5.90; seen 2026-11-28.
# Matters    Whoever adds up buying and selling from `coinbase` has the sign of every trade wrong.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check ccxt==4.5.90
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import sys

import ccxt

TRADE = {"product_id": "BTC-USD", "price": "63310.25", "size": "0.0012", "time": "2026-08-12T19:27:47.532655Z"}
ADVANCED = {**TRADE, "trade_id": "1069726291", "side": "SELL"}
EXCHANGE = {**TRADE, "trade_id": 1069726291, "side": "sell", "type": "match", "sequence": 177100030}

seen = {"coinbase": ccxt.coinbase().parse_trade(ADVANCED), "coinbaseexchange": ccxt.coinbaseexchange().parse_trade(EXCHANGE)}
for name, trade in seen.items():
    print(f"{name}: trade {trade['id']}, side {trade['side']}")
sides = {name: trade["side"] for name, trade in seen.items()}
as_described = sides == {"coinbase": "sell", "coinbaseexchange": "buy"}
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
