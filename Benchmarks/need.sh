#!/usr/bin/env bash
# Prints the path of something that the benchmarks need, and makes it if it is missing.
#
#   Benchmarks/need.sh martlet   a release build of this checkout, or MARTLET_BIN
#   Benchmarks/need.sh bare      a release build of Benchmarks/fleet/bare, or MARTLET_BARE
#   Benchmarks/need.sh streams   the streams of tokens, Benchmarks/gateway/streams, compiled
#   Benchmarks/need.sh python    the interpreter of config/python/bench.lock
#   Benchmarks/need.sh proxies   the interpreter of config/python/proxies.lock
#   Benchmarks/need.sh serving   the interpreter of config/python/serving.lock, with vLLM
#   Benchmarks/need.sh model     a folder with the weights of SmolLM2-135M, as vLLM reads them
#
# Only the path goes to standard output.
set -euo pipefail

say() { printf 'need.sh: %s\n' "$*" >&2; }

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# A binary that is built already: the variable's name, then its value.
given() {
    [[ -x $2 ]] || { say "$1 is '$2', which cannot be run"; exit 2; }
    printf '%s\n' "$2"
    exit 0
}

# A release build: the product's name, then what else `swift build` is told.
built() {
    local product=$1
    shift
    say "building $product (release)"
    swift build -c release --product "$product" "$@" >&2
    printf '%s/%s\n' "$(swift build -c release "$@" --show-bin-path)" "$product"
}

case ${1:-} in
    martlet)
        [[ -z ${MARTLET_BIN:-} ]] || given MARTLET_BIN "$MARTLET_BIN"
        built martlet --package-path "$root" --static-swift-stdlib
        ;;
    bare)
        [[ -z ${MARTLET_BARE:-} ]] || given MARTLET_BARE "$MARTLET_BARE"
        built bare --package-path "$root/Benchmarks/fleet/bare" --scratch-path "$root/.build/bench/bare"
        ;;
    streams)
        mkdir -p -- "$root/.build/bench"
        "${CC:-cc}" -std=gnu17 -O2 -Wall -Wextra -Werror -o "$root/.build/bench/streams" \
            "$root"/Benchmarks/gateway/streams/*.c >&2
        printf '%s\n' "$root/.build/bench/streams"
        ;;
    python)
        folder=$("$root/deploy/python/env.sh" bench)
        printf '%s/bin/python\n' "$folder"
        ;;
    proxies)
        folder=$("$root/deploy/python/env.sh" proxies)
        printf '%s/bin/python\n' "$folder"
        ;;
    serving)
        folder=$("$root/deploy/python/env.sh" serving)
        printf '%s/bin/python\n' "$folder"
        ;;
    model)
        folder=$root/.build/bench/model
        if [[ ! -d $folder ]]; then
            say "making $folder"
            stages=$("$root/deploy/python/env.sh" stages)
            # Beside it, so that what is there is whole.
            mkdir -p -- "$root/.build/bench"
            trial=$(mktemp --directory -- "$root/.build/bench/model-XXXXXX")
            trap 'rm -rf -- "$trial"' EXIT
            export PYTHONPATH=$root/Sources/Stages/Python PYTHONDONTWRITEBYTECODE=1
            weights=$("$stages/bin/python" -m martlet_stages locate smollm2)
            printf '{"source":{"gguf":"%s"},"output_dir":"%s/output"}\n' "$weights" "$trial" >"$trial/spec.json"
            "$stages/bin/python" -m martlet_stages import-model --spec "$trial/spec.json" >&2
            mv -- "$trial/output" "$folder"
        fi
        printf '%s\n' "$folder"
        ;;
    *)
        say 'usage: need.sh martlet|bare|streams|python|proxies|serving|model'
        exit 2
        ;;
esac
