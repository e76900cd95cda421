#!/usr/bin/env bash
# The champion of `make demo` behind the gateway; a second version takes over under load, two broken ones do not:
# `make demo-serve`.
#
# Exit code: 0 when all of that held and no request failed.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
martlet=.build/release/martlet
state=${MARTLET_STATE:-.martlet}

deploy/install.sh build stack python
stages=$(deploy/python/env.sh stages)
serving=$(deploy/python/env.sh serving)
# SWIFT_FLAGS is a list of words.
# shellcheck disable=SC2086
swift build --configuration release --product martlet --static-swift-stdlib ${SWIFT_FLAGS:-}
"$martlet" up

data=$(PYTHONPATH=Sources/Stages/Python "$stages/bin/python" -m martlet_stages locate cwe)/helpful_views/2000.csv
exec "$serving/bin/python" deploy/serve-demo/main.py --martlet "$martlet" --data "$data" --state "$state"
