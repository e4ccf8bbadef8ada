#!/usr/bin/env bash
# The simulators beside real client libraries: each library, pinned, in an environment of its own, driven by its file in scripts/clients/.
#
#   scripts/clients.sh                              all of them, and the table docs/reference/clients.md
#   scripts/clients.sh ccxt python-kraken-sdk       only these libraries
#   scripts/clients.sh --exchange binance ccxt      only with that exchange
#   scripts/clients.sh --keep DIR …                 environments are kept in DIR, so that the next run is quick
#   scripts/clients.sh --install-only --keep DIR …  environments alone, for ALPHAPULSE_CLIENTS=DIR scripts/test tests/clients
#
# The programs that docs/how-to/test-a-bot-against-the-simulators.md shows of these libraries are run too, by their test.
#
# A library that needs another Python finds it as python3.13, below pyenv, or by PYTHON313=/path/to/it. Everything runs on this machine
# alone. Exit code 1 if a check failed. How to add a library: scripts/clients/drive.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment
prepare tls
exec "$venv/bin/python" scripts/clients/drive.py "$@"
