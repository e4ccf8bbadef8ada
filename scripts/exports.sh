#!/usr/bin/env bash
# Exports beside the tools that load them: each tool, pinned, in an environment of its own, loads what `alphapulse export` made of a
# capture of simulated exchanges, and its books are compared with ours at 1,000 instants, in integers.
#
#   scripts/exports.sh                              all tools
#   scripts/exports.sh hftbacktest                  only this one
#   scripts/exports.sh --captures DIR …             captures of your own, instead of simulated ones
#   scripts/exports.sh --keep DIR …                 environments, captures and exports are kept in DIR; the next run is quick
#
# A tool that needs another Python finds it as python3.12, below pyenv, or by PYTHON312=/path/to/it. Everything runs on this machine
# alone. Exit code 1 if a check failed. How to add a tool: scripts/exports/drive.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment
prepare record
exec "$venv/bin/python" scripts/exports/drive.py "$@"
