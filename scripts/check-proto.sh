#!/usr/bin/env bash
# Lints every .proto file with buf, which .ci/run builds if its modules are available.
set -euo pipefail

PATH=$PWD/.tools/bin:$PATH
if ! command -v buf >/dev/null; then
	echo "buf is not installed: .proto files are linted in CI only"
	exit 0
fi
exec buf lint
