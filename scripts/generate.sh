#!/usr/bin/env bash
# Generates Go code from every .proto file of ours into the folder given, with
# protoc where it is installed, else with buf. `make plugins` comes first.
#
# protoc-gen-go-http is not published as a module, so it runs when it is on PATH;
# otherwise the committed *_http.pb.go stay as they are.
set -euo pipefail

out=$1
module=$(go list -m)
http=$(command -v protoc-gen-go-http || true)

with_protoc() {
	local args=(--plugin=.tools/protoc-gen-go --plugin=.tools/protoc-gen-go-grpc)
	for plugin in go go-grpc ${http:+go-http}; do
		args+=("--${plugin}_out=$out" "--${plugin}_opt=module=$module")
	done
	protoc -I api -I internal -I third_party "${args[@]}" \
		$(find api internal -name '*.proto' | sort)
}

with_buf() {
	buf generate --output "$out"
	if [ -n "$http" ]; then
		buf generate --output "$out" --template \
			"{version: v2, inputs: [{directory: api}], plugins: [{local: protoc-gen-go-http, out: ., opt: [module=$module]}]}"
	fi
}

mkdir -p "$out/api" "$out/internal"
if command -v protoc >/dev/null; then
	with_protoc
elif command -v buf >/dev/null; then
	with_buf
else
	echo "generating needs protoc (Debian: protobuf-compiler) or buf" >&2
	exit 1
fi
go run ./tools/descsplit "$out/api" "$out/internal"

# What users import is a copy of ours.
for proto in $(cd api && find kratosmqtt -name '*.proto'); do
	mkdir -p "$(dirname "$out/third_party/$proto")"
	cp "api/$proto" "$out/third_party/$proto"
done
