#!/bin/sh
# Writes the gateway's types to src/api/schema.ts, from its OpenAPI; with --check, fails where they differ.
set -eu
cd "$(dirname "$0")/.."
"${PYTHON:-.venv/bin/python}" - <<'PYTHON' | web/node_modules/.bin/openapi-typescript --output web/src/api/schema.ts "$@"
import json

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

print(json.dumps(create_app(GatewaySettings()).openapi()))
PYTHON
