#!/usr/bin/env bash
# Generates Go code and AsyncAPI documents from every .proto file of this module into the
# given folder, and a descriptor set with the comments of the service's own files. It uses protoc if installed, otherwise buf; both write the same files. Run
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

# The events of the tests for Kratos v3.
v3=kratosv3/internal/protos

# own lists the .proto files of the service.
own() { find api -name '*.proto' -not -path 'api/kratosmqtt/*' | sort; }

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
	protoc -I "$v3" -I api -I third_party --plugin=.tools/protoc-gen-go --plugin=.tools/protoc-gen-go-mqtt \
		--go_out="$out" --go_opt=module="$module" --go-mqtt_out="$out" --go-mqtt_opt=module="$module" \
		$(find "$v3" -name '*.proto' | sort)
	protoc -I api -I third_party --include_source_info --descriptor_set_out="$out/api/descriptors.binpb" $(own)
}

with_buf() {
	buf generate --output "$out"
	buf generate --output "$out" --template \
		"{version: v2, inputs: [{directory: $v3}], plugins: [{local: .tools/protoc-gen-go, out: ., opt: [module=$module]}, {local: .tools/protoc-gen-go-mqtt, out: ., opt: [module=$module]}]}"
	buf build --as-file-descriptor-set --exclude-imports $(own | sed 's/^/--path /') -o "$out/api/descriptors.binpb"
	if [ -n "$http" ]; then
		buf generate --output "$out" --template \
			"{version: v2, inputs: [{directory: api}], plugins: [{local: protoc-gen-go-http, out: ., opt: [module=$module]}]}"
	fi
}

mkdir -p "$out/api" "$out/internal" "$out/$v3"
case $compiler in
protoc) with_protoc ;;
buf) with_buf ;;
*)
	echo "generating needs protoc (Debian: protobuf-compiler) or buf" >&2
	exit 1
	;;
esac
go run ./tools/descsplit "$out/api" "$out/internal" "$out/$v3"

# Users import a copy of our .proto files.
for proto in $(cd api && find kratosmqtt -name '*.proto' -not -path 'kratosmqtt/cli/*'); do
	mkdir -p "$(dirname "$out/third_party/$proto")"
	cp "api/$proto" "$out/third_party/$proto"
done
