#!/usr/bin/env bash
# Generates into a fresh folder and compares with the tree, which it leaves as it
# is. Without protoc and buf only the module path is looked for; CI has protoc.
set -euo pipefail

status=0
go run ./tools/descsplit -check api internal || status=1

if ! command -v protoc >/dev/null && ! command -v buf >/dev/null; then
	if [ "${CI:-}" = true ]; then
		echo "CI requires protoc to check generated code" >&2
		exit 1
	fi
	echo "neither protoc nor buf is installed: generated code not compared, CI does"
	exit $status
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/generate.sh "$fresh"

for file in $(cd "$fresh" && find . -type f | sort); do
	diff -u --label "$file" --label "$file, generated" "$file" "$fresh/$file" || status=1
done
for file in $(find api internal -name '*.pb.go'; find third_party/kratosmqtt -type f); do
	case $file in *_http.pb.go) command -v protoc-gen-go-http >/dev/null || continue ;; esac
	[ -f "$fresh/$file" ] || { echo "$file: nothing generates it" >&2; status=1; }
done
[ $status -eq 0 ] || echo "generated code differs: run make api" >&2
exit $status
