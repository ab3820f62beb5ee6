#!/usr/bin/env bash
# Generates code into a temporary folder and compares it with the committed code, once
# with each of protoc and buf that is installed. The AsyncAPI documents are the contract
# with devices, so changes of them must be committed. Without protoc and buf only the
# module path is checked; CI has protoc.
set -euo pipefail

status=0
go run ./tools/descsplit -check api internal tools kratosv3 || status=1

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

compare() {
	local compiler=$1 out=$fresh/$1 file
	scripts/generate.sh "$out" "$compiler"
	for file in $(cd "$out" && find . -type f | sort); do
		diff -u --label "$file" --label "$file, generated with $compiler" "$file" "$out/$file" || status=1
	done
	for file in $(find api internal kratosv3/internal -name '*.pb.go' -o -name '*.asyncapi.yaml' -o -name '*.binpb'; find third_party/kratosmqtt -type f); do
		case $file in *_http.pb.go) command -v protoc-gen-go-http >/dev/null || continue ;; esac
		[ -f "$out/$file" ] || { echo "$file: no .proto file generates it" >&2; status=1; }
	done
}

compared=
for compiler in protoc buf; do
	if command -v "$compiler" >/dev/null; then
		compare "$compiler"
		compared=yes
	fi
done
if [ -z "$compared" ]; then
	if [ "${CI:-}" = true ]; then
		echo "CI requires protoc to check generated code" >&2
		exit 1
	fi
	echo "neither protoc nor buf is installed: generated code is compared in CI only"
	exit $status
fi
[ $status -eq 0 ] || echo "generated code differs: run make api" >&2
exit $status
