#!/bin/sh
# Generates the Python and the TypeScript client into a folder: clients/generate.sh .tillstream/clients
set -eu
out=$1
python=${PYTHON:-.venv/bin/python}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
(cd "$here/.." && "$python" -m clients.openapi) > "$out/openapi.json"
rm -rf "$out/python" "$out/typescript"
"$python" -m openapi_python_client generate --path "$out/openapi.json" --config "$here/python/generator.yaml" \
    --meta uv --output-path "$out/python" --fail-on-warning
cp "$here/python/example.py" "$out/python/"
cp -R "$here/typescript" "$out/typescript"
"$here/../web/node_modules/.bin/openapi-typescript" "$out/openapi.json" --output "$out/typescript/schema.d.ts"
