#!/usr/bin/env bash
# Builds packages into a folder, with a line every few seconds while the build cache is cold:
# how many packages are compiled, and the one that was begun last.
set -euo pipefail

folder=$1
shift
log=$(mktemp)
go build -v -o "$folder" "$@" 2>"$log" &
build=$!
trap 'kill "$build" 2>/dev/null || true; rm -f "$log"' EXIT

seconds=0
while kill -0 "$build" 2>/dev/null; do
	if [ "$seconds" -gt 0 ] && [ $((seconds % 5)) -eq 0 ]; then
		echo "building: $seconds s, $(wc -l <"$log") packages, now $(tail -n 1 "$log")"
	fi
	sleep 1
	seconds=$((seconds + 1))
done
status=0
wait "$build" || status=$?
# go build -v prints the names of packages between its errors.
[ "$status" -eq 0 ] || grep -vE '^[a-z0-9.]+(/[A-Za-z0-9._~-]+)*$' "$log" >&2 || true
exit "$status"
