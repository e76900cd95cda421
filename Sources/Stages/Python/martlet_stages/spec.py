"""Reading a command's specification: typed fields, with errors that name the field."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from .events import EventStream
from .failures import permanent

_MISSING = object()
_MAX_BYTES = 4 << 20


class Spec:
    """A JSON object whose fields are read by name and type; a wrong one is a permanent failure."""

    def __init__(self, values: Any, path: str = ""):
        if not isinstance(values, dict):
            raise permanent("invalid_spec", f"{path or 'the specification'} must be a JSON object", field=path)
        self._values = values
        self._path = path
        # Read by the command line itself, for every command.
        self._read: set[str] = {"threads"} if not path else set()
        self._parts: list[Spec] = []

    @classmethod
    def load(cls, path: str) -> Spec:
        try:
            if os.path.getsize(path) > _MAX_BYTES:
                raise permanent("invalid_spec", f"{path} is larger than {_MAX_BYTES} bytes")
            with open(path, encoding="utf-8") as file:
                return cls(json.load(file))
        except OSError as error:
            raise permanent("invalid_spec", f"cannot read the specification {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise permanent("invalid_spec", f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
        except json.JSONDecodeError as error:
            raise permanent(
                "invalid_spec", f"{path}:{error.lineno}:{error.colno} is not JSON: {error.msg}"
            ) from error

    def name(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field

    def fail(self, field: str, problem: str):
        return permanent("invalid_spec", f"field '{self.name(field)}' {problem}", field=self.name(field))

    def raw(self, field: str, default: Any = _MISSING) -> Any:
        self._read.add(field)
        value = self._values.get(field)
        if value is None:
            if default is _MISSING:
                raise self.fail(field, "is missing")
            return default
        return value

    def has(self, field: str) -> bool:
        return self._values.get(field) is not None

    def text(self, field: str, default: Any = _MISSING, choices: tuple[str, ...] | None = None) -> Any:
        value = self.raw(field, default)
        if value is default:
            return value
        if not isinstance(value, str) or not value:
            raise self.fail(field, f"must be a non-empty string, not {shown(value)}")
        if choices is not None and value not in choices:
            raise self.fail(field, f"must be one of {', '.join(choices)}, not {shown(value)}")
        return value

    def integer(self, field: str, default: Any = _MISSING, low: int = 0, high: int = 2**53) -> Any:
        value = self.raw(field, default)
        if value is default:
            return value
        # Swift encodes a whole Double as 4.0: a number that is whole is an integer here.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(field, f"must be a whole number, not {shown(value)}")
        if not low <= value <= high:
            raise self.fail(field, f"must be from {low} to {high}, not {value}")
        return value

    def number(self, field: str, default: Any = _MISSING, low: float = -math.inf, high: float = math.inf) -> Any:
        value = self.raw(field, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.fail(field, f"must be a finite number, not {shown(value)}")
        if not low <= value <= high:
            raise self.fail(field, f"must be from {low:g} to {high:g}, not {value:g}")
        return float(value)

    def flag(self, field: str, default: Any = _MISSING) -> Any:
        value = self.raw(field, default)
        if not isinstance(value, bool):
            raise self.fail(field, f"must be true or false, not {shown(value)}")
        return value

    def strings(self, field: str, default: Any = _MISSING) -> Any:
        value = self.raw(field, default)
        if value is default:
            return value
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fail(field, "must be a list of non-empty strings")
        return value

    def object(self, field: str, default: Any = _MISSING) -> Spec:
        part = Spec(self.raw(field, {} if default is not _MISSING else _MISSING), self.name(field))
        self._parts.append(part)
        return part

    def file(self, field: str, default: Any = _MISSING) -> Any:
        value = self.text(field, default)
        if value is default:
            return value
        if not os.path.isfile(value):
            raise self.fail(field, f"names {value}, which is not a file")
        return value

    def directory(self, field: str, default: Any = _MISSING) -> Any:
        value = self.text(field, default)
        if value is default:
            return value
        if not os.path.isdir(value):
            raise self.fail(field, f"names {value}, which is not a folder")
        return value

    def items(self) -> list[tuple[str, Any]]:
        self._read.update(self._values)
        return list(self._values.items())

    def unread(self) -> list[str]:
        """The fields nobody asked for, here and below: most likely misspelt."""
        own = [self.name(field) for field in self._values if field not in self._read]
        return sorted(own + [name for part in self._parts for name in part.unread()])

    def warn_unread(self, events: EventStream) -> None:
        for name in self.unread():
            events.warning(f"field '{name}' of the specification is not known and has no effect", field=name)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
