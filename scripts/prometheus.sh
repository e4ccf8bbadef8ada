#!/usr/bin/env bash
# Prometheus itself, the Debian package, scrapes a running `alphapulse serve`, and promtool checks the text. Where they are not
# installed, the package is downloaded and unpacked below DIR, without root: scripts/prometheus.sh [--keep DIR] [pytest's arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
keep=""
if [ "${1:-}" = "--keep" ]; then
  keep=${2:?"--keep DIR"}
  shift 2
fi
if ! command -v prometheus promtool >/dev/null; then
  folder=${keep:-$(mktemp -d)}
  [ -n "$keep" ] || trap 'rm -rf "$folder"' EXIT
  if [ ! -x "$folder/usr/bin/prometheus" ]; then
    mkdir -p "$folder"
    (cd "$folder" && apt-get download -qq prometheus)
    dpkg -x "$folder"/prometheus_*.deb "$folder"
  fi
  PATH="$(cd "$folder" && pwd)/usr/bin:$PATH"
  export PATH
fi
[ $# -gt 0 ] || set -- tests/cli/test_prometheus.py tests/apps/serve/test_metrics.py
scripts/test -n 0 "$@"
