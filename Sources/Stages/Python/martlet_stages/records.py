"""The records of a dataset version: JSON lines, streamed."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .failures import permanent

MAX_LINE_BYTES = 16 << 20
_ROLES = ("system", "user", "assistant", "tool")
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Record:
    """One example: a conversation that ends with the assistant's answer."""

    id: str
    source_id: str
    source_ids: tuple[str, ...]
    """Of every source record that the answer comes from; ``source_id`` is the first."""
    question: str
    answer: str
    messages: tuple[dict[str, str], ...]


def read_records(files: list[str], system_prompt: str | None = None) -> Iterator[Record]:
    """Yields every record in order; a bad one is a permanent failure that names file, line and field."""
    for path in files:
        try:
            with open(path, "rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
                    if len(line) > MAX_LINE_BYTES:
                        raise _bad(path, number, f"the line is longer than {MAX_LINE_BYTES} bytes")
                    if line.strip():
                        yield _record(line, path, number, system_prompt)
        except OSError as error:
            raise permanent("missing_file", f"cannot read {path}: {error.strerror}", file=path) from error


def normalise(text: str) -> str:
    """The text as compared for equality: compatibility forms, case, punctuation and spacing do not count."""
    return _NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _record(line: bytes, path: str, number: int, system_prompt: str | None) -> Record:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _bad(path, number, f"not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise _bad(path, number, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _bad(path, number, "not a JSON object")
    identifier = _text(value, "id", path, number)
    source = value.get("source_id", identifier)
    if not isinstance(source, str) or not source:
        raise _bad(path, number, "field 'source_id' must be a non-empty string")
    more = value.get("source_ids") or []
    if not isinstance(more, list) or not all(isinstance(item, str) and item for item in more):
        raise _bad(path, number, "field 'source_ids' must be a list of non-empty strings")
    sources = tuple(dict.fromkeys((source, *more)))
    # A question with its answer is the whole example: other members of such a record were carried along from its
    # source, whatever their names, and are no text to train on.
    if value.get("messages") is not None and value.get("question") is None and value.get("answer") is None:
        messages = _messages(value["messages"], path, number)
        if system_prompt and messages[0]["role"] != "system":
            messages = ({"role": "system", "content": system_prompt}, *messages)
        question = "\n".join(m["content"] for m in messages[:-1] if m["role"] != "system")
        return Record(identifier, source, sources, question, messages[-1]["content"], messages)
    question = _text(value, "question", path, number)
    answer = _text(value, "answer", path, number)
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    if system_prompt:
        turns = ({"role": "system", "content": system_prompt}, *turns)
    return Record(identifier, source, sources, question, answer, turns)


def _text(value: dict[str, Any], field: str, path: str, number: int) -> str:
    text = value.get(field)
    if not isinstance(text, str) or not text.strip():
        raise _bad(path, number, f"field '{field}' must be a non-empty string")
    return text.strip()


def _messages(value: Any, path: str, number: int) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or len(value) < 2:
        raise _bad(path, number, "field 'messages' must be a list of at least two messages")
    messages = []
    for index, message in enumerate(value):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in _ROLES or not isinstance(content, str) or not content.strip():
            raise _bad(
                path, number, f"field 'messages[{index}]' needs a role ({', '.join(_ROLES)}) and a non-empty content"
            )
        messages.append({"role": role, "content": content.strip()})
    if messages[-1]["role"] != "assistant":
        raise _bad(path, number, "field 'messages' must end with the assistant's answer")
    return tuple(messages)


def _bad(path: str, number: int, problem: str):
    return permanent("invalid_record", f"{path}:{number}: {problem}", file=path, line=number)
