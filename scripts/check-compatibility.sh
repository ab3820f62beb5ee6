#!/usr/bin/env bash
# Compares the API of both modules with their last releases. Before v1.0.0 a minor version may
# break it, if CHANGELOG.md has a heading "### Breaking changes" under Unreleased.
# BASE=<commit> compares with a commit in place of the releases.
set -euo pipefail

apidiff=$(realpath "$1")
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
if ! git rev-parse --git-dir >/dev/null 2>&1; then
	echo "no Git repository: there is no release to compare with"
	exit 0
fi

# announced reports whether the next release may break the API.
announced() {
	awk '/^## /{in_next = /^## Unreleased/} in_next && /^### Breaking changes/{found = 1} END{exit !found}' CHANGELOG.md
}

# diff runs apidiff on the module in the current folder, without its list of internal packages.
diff() { "$apidiff" -m "$@" 2> >(grep -v '^Ignoring internal package' >&2 || true); }

# compare compares the module in a folder with the same at a commit.
compare() {
	local folder=$1 base=$2 module report
	mkdir -p "$old/$base"
	git archive "$base" | tar x -C "$old/$base"
	[ -e "$old/$base/$folder/go.mod" ] || { echo "$folder: is no module at $base"; return; }
	module=$(cd "$folder" && go list -m)
	(cd "$old/$base/$folder" && diff -w "$old/api" "$module")
	report=$(cd "$folder" && diff -incompatible "$old/api" "$module")
	if [ -z "$report" ]; then
		echo "$module: compatible with $base"
	elif announced; then
		echo "$module: differs from $base, as CHANGELOG.md announces:"
		echo "$report"
	else
		echo "$module: differs from $base, but CHANGELOG.md has no \"### Breaking changes\" under Unreleased:" >&2
		echo "$report" >&2
		return 1
	fi
}

status=0
for folder in . kratosv3; do
	[ -e "$folder/go.mod" ] || continue
	prefix=${folder#.}
	tag=$(git tag --list "${prefix:+$prefix/}v*" --sort=-version:refname | head -n 1)
	base=${BASE:-$tag}
	if [ -z "$base" ]; then
		echo "$(cd "$folder" && go list -m): not released yet, there is nothing to compare with"
		continue
	fi
	compare "$folder" "$base" || status=1
done
exit $status
