#!/usr/bin/env bash
# Runs the suite again and again: each time with another hash seed and in another order, beside a load that has a lower priority.
# A test that depends on anything but the code falls sooner or later; its run can be repeated, since the run's number is its seed.
#
#   scripts/shuffled_runs.sh                          ten runs of the whole suite
#   scripts/shuffled_runs.sh 3 tests/cli tests/apps   three runs of a part; what follows the number goes to pytest
#   FIRST=7 scripts/shuffled_runs.sh 1                the seventh again
#   LOAD=0 scripts/shuffled_runs.sh                   without a load (a busy loop for each processor, else)
#   LOG=FILE scripts/shuffled_runs.sh                 where each run leaves a line (shuffled-runs.log); a failed one's output is kept beside it
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-10}
shift || true
first=${FIRST:-1}
log=${LOG:-shuffled-runs.log}
load=${LOAD:-$(getconf _NPROCESSORS_ONLN)}
case $runs$first$load in *[!0-9]*) echo "error: RUNS, FIRST and LOAD are numbers" >&2; exit 2 ;; esac

busy=()
stop_load() {
  [ ${#busy[@]} = 0 ] || kill "${busy[@]}" 2>/dev/null
  busy=()
}
trap stop_load EXIT
trap 'exit 130' INT TERM
for ((one = 0; one < load; one++)); do
  nice -n 10 bash -c 'while :; do :; done' &
  busy+=($!)
done

failed=0
for ((seed = first; seed < first + runs; seed++)); do
  output=$(mktemp)
  begun=$SECONDS
  PYTHONHASHSEED=$seed scripts/test -p randomly --randomly-seed="$seed" -q "$@" >"$output" 2>&1
  code=$?
  summary=$(grep -E '[0-9]+ (passed|failed|error)' "$output" | tail -n 1)
  printf '%s seed %d: exit %d after %d s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$seed" "$code" $((SECONDS - begun)) "${summary:-no summary}" |
    tee -a "$log"
  if [ $code = 0 ]; then
    rm -f "$output"
  else
    failed=1
    mv "$output" "$log.$seed"
    grep -E '^(FAILED|ERROR)' "$log.$seed" | sed 's/^/  /' | tee -a "$log"
  fi
done
exit $failed
