#!/usr/bin/env bash
# Builds golangci-lint when needed and runs it. The first build takes a minute
# or two and needs the module proxy; without it only CI fails.
set -euo pipefail

linter=$1
if ! make --silent "$linter"; then
	[ "${CI:-}" = true ] && exit 1
	echo "golangci-lint cannot be built: not linted here, CI does"
	exit 0
fi
"$linter" run
