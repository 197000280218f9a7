#!/usr/bin/env bash
# Generates wire/pb from wire/proto. The result is committed, so that nobody else needs the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python -m grpc_tools.protoc -I wire/proto --python_out=wire/pb --pyi_out=wire/pb \
    --grpc_python_out=wire/pb wire/proto/*.proto
# protoc writes absolute imports of bare module names; ours live in a package.
sed -i -E 's/^import ([a-z_]+_pb2) as/from parley.wire.pb import \1 as/' wire/pb/*_pb2_grpc.py wire/pb/*_pb2.py
