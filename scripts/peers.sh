#!/usr/bin/env bash
# How long books are dark under the same faults: alphapulse beside cryptofeed 3, on the same simulated exchanges, behind TLS.
#
#   scripts/peers.sh                      3 minutes, a fault each 15 s on each exchange
#   scripts/peers.sh --minutes 10 --every 5
#
# Needs Python 3.13 (PYTHON313=/path/to/python3.13) for cryptofeed, which it installs into a temporary environment, and openssl. alphapulse
# is that of .venv. Everything runs on this machine alone; exit code 1 if an exchange was dark longer with alphapulse.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment
prepare fast

python=${PYTHON313:-python3.13}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null ||
  { say "error: cryptofeed 3 needs Python 3.13, $python is none"; say "hint: PYTHON313=/path/to/python3.13 scripts/peers.sh"; exit 2; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
say "installing cryptofeed 3.0.1"
"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet cryptofeed==3.0.1
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$place/key.pem" -out "$place/cert.pem" -days 3 -subj /CN=localhost \
  -addext subjectAltName=IP:127.0.0.1 2>/dev/null
SSL_CERT_FILE="$place/cert.pem" "$venv/bin/python" -P scripts/peers/side_by_side.py "$place" "$@"
