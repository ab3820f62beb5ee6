#!/usr/bin/env bash
# Runs the benchmarks of every package that has one.
set -euo pipefail

packages=$(grep -rl --include='*_test.go' --exclude-dir=bench '^func Benchmark' . | xargs -r -n1 dirname | sort -u || true)
if [ -z "$packages" ]; then
	echo "there are no benchmarks"
	exit 0
fi
exec go test -run '^$' -bench . -benchmem "$@" $packages
