#!/usr/bin/env bash
# Generates Go code and AsyncAPI documents from every .proto file of this module into the
# given folder. It uses protoc if installed, otherwise buf; both write the same files. Run
# `make plugins` first.
#
#   scripts/generate.sh DIR [protoc|buf]
#
# protoc-gen-go-http is not published as a module, so it runs only if it is on PATH;
# otherwise the committed *_http.pb.go files are kept.
set -euo pipefail

out=$1
compiler=${2:-}
module=$(go list -m)
http=$(command -v protoc-gen-go-http || true)

if [ -z "$compiler" ]; then
	for compiler in protoc buf none; do
		! command -v "$compiler" >/dev/null || break
	done
fi

with_protoc() {
	local args=() plugin
	for plugin in go go-grpc go-mqtt mqtt-asyncapi; do
		args+=("--plugin=.tools/protoc-gen-$plugin")
	done
	for plugin in go go-grpc go-mqtt ${http:+go-http}; do
		args+=("--${plugin}_out=$out" "--${plugin}_opt=module=$module")
	done
	protoc -I api -I internal -I third_party "${args[@]}" --mqtt-asyncapi_out="$out/api" \
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
case $compiler in
protoc) with_protoc ;;
buf) with_buf ;;
*)
	echo "generating needs protoc (Debian: protobuf-compiler) or buf" >&2
	exit 1
	;;
esac
go run ./tools/descsplit "$out/api" "$out/internal"

# Users import a copy of our .proto files.
for proto in $(cd api && find kratosmqtt -name '*.proto'); do
	mkdir -p "$(dirname "$out/third_party/$proto")"
	cp "api/$proto" "$out/third_party/$proto"
done
