#!/usr/bin/env bash
# Lints every .proto file with buf, which .ci/run builds where its modules can be
# had.
set -euo pipefail

PATH=$PWD/.tools/bin:$PATH
if ! command -v buf >/dev/null; then
	echo "no buf: .proto files not linted"
	exit 0
fi
exec buf lint
