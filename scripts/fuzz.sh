#!/usr/bin/env bash
# Runs every fuzz target of the module, or those whose package and name match a pattern,
# one after the other for $FUZZTIME each (default 30s), and prints one line for each. If a
# target crashes or cannot run, the script fails at the end; the crashing input is in
# testdata/fuzz of the package.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${FUZZTIME:-30s}
pattern=${1:-.}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

targets() {
	grep -rlE --include='*_test.go' '^func Fuzz[A-Z]' . | grep -vE '^\./(bench|\.tools)/' | sort |
		while read -r file; do
			sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|$(dirname "$file") \1|p" "$file"
		done
}

count=0 failed=()
printf '%-28s %-32s %12s %8s\n' package target executions new
while read -r package target; do
	count=$((count + 1))
	status=ok
	# Without this bound, minimizing one input may take a minute.
	go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x >"$log" 2>&1 || status=FAILED
	last=$(grep -E '^fuzz: .*execs:' "$log" | tail -1 || true)
	executions=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' <<<"$last")
	new=$(sed -nE 's/.*new interesting: ([0-9]+).*/\1/p' <<<"$last")
	if [ -z "$executions" ]; then # all of the time went into what is known already
		executions=$(sed -nE 's/.*coverage: ([0-9]+)\/.*/\1/p' "$log" | tail -1)
	fi
	[ "${executions:-0}" -gt 0 ] || status=FAILED
	printf '%-28s %-32s %12s %8s %s\n' "${package#./}" "$target" "${executions:-0}" "${new:-0}" "${status/ok/}"
	if [ "$status" = FAILED ]; then
		failed+=("$package $target")
		sed 's/^/    /' "$log" | tail -40
	fi
done < <(targets | grep -E -- "$pattern" || true)

if [ "$count" -eq 0 ]; then
	echo "fuzz: no target matches $pattern" >&2
	exit 1
fi
if [ "${#failed[@]}" -gt 0 ]; then
	printf 'fuzz: FAILED: %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "fuzz: $count targets, $time each, no crash"
