"""Digests of files and values."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_sha256(value: Any) -> str:
    """SHA-256 of the value's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def files_sha256(digests: dict[str, str]) -> str:
    """One digest for a set of named files, independent of their order."""
    return value_sha256(sorted(digests.items()))
