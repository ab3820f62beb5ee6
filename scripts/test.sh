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
exec go test ${race:+"$race"} -shuffle=on -timeout 10m "$@"
