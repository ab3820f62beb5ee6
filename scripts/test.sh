#!/usr/bin/env bash
# Runs go test, with the race detector if a C compiler is available.
set -euo pipefail

read -r cc _ <<<"$(go env CC)"
if go list -race runtime/race >/dev/null 2>&1 && command -v "$cc" >/dev/null; then
	race=-race
	echo "race detector: on"
elif [ "${CI:-}" = true ]; then
	echo "race detector: CI requires it, but there is no C compiler" >&2
	exit 1
else
	race=
	echo "race detector: off, there is no C compiler"
fi
flags=(${race:+"$race"} -shuffle=on -timeout 30m)

# CI's machine is shared: up to ten tests that fail, without a data race, run a second time.
# What failed only once is printed, and is to be mended all the same.
gotestsum=$(cd "$(dirname "$0")/.." && pwd)/.tools/gotestsum
if [ "${CI:-}" != true ] || [ ! -x "$gotestsum" ]; then
	exec go test "${flags[@]}" "$@"
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
"$gotestsum" --format standard-quiet --rerun-fails=1 --rerun-fails-max-failures=10 --rerun-fails-run-root-test \
	--rerun-fails-abort-on-data-race --rerun-fails-report="$report" --packages="${*: -1}" -- "${flags[@]}" "${@:1:$#-1}" || status=$?
[ ! -s "$report" ] || { echo "== tests that ran a second time"; cat "$report"; }
exit $status
