#!/usr/bin/env bash
# In what `kratos new NAME -r` made: gives client ids, and the documents and tests that name
# them, the NAME. Elsewhere, and the second time, it changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$(go list -m)
case $name in */*) exit 0 ;; esac
{ grep -rlE --exclude-dir=.git --exclude-dir=.tools --include='*.go' --include='*.md' --include='*.yaml' \
	'report-(service|collector|saver)' . || true; } | while read -r file; do
	sed -E "s|report-(collector\|saver)|$name-\1|g; s|report-service|$name|g" "$file" >"$file.renamed"
	cat "$file.renamed" >"$file" # keeps the mode
	rm "$file.renamed"
done
