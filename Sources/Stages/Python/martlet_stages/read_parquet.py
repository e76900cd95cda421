"""``read-parquet``: the rows of a Parquet file as JSON lines, a batch at a time."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import os
import time
from typing import Any

from .events import EventStream
from .failures import Released, permanent
from .runtime import StopRequest
from .spec import Spec


def run(spec: Spec, events: EventStream, stop: StopRequest) -> dict[str, Any]:
    path = spec.file("file")
    output = spec.text("output")
    columns = spec.strings("columns", None)
    batch_rows = spec.integer("batch_rows", 1024, low=1, high=1 << 20)
    threads = spec.integer("threads", 1, low=1)
    # A small file may hold a great many rows: what is written is bounded, not what is read.
    most_bytes = spec.integer("max_bytes", None, low=1, high=2**63 - 1)
    most_seconds = spec.number("max_seconds", None, low=0)
    start = time.monotonic()

    spec.warn_unread(events)

    import pyarrow
    import pyarrow.parquet

    pyarrow.set_cpu_count(threads)
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise permanent("invalid_parquet", f"{path} is not a Parquet file, or is cut short: {error}", file=path) from error
    names = file.schema_arrow.names
    for column in columns or ():
        if column not in names:
            raise permanent(
                "missing_column", f"{path} has no column '{column}'; it has {', '.join(names)}", file=path, column=column
            )
    total = file.metadata.num_rows
    written = nonfinite = size = 0
    temporary = output + ".partial"
    with open(temporary, "wb") as lines:
        for group in range(file.num_row_groups):
            try:
                # One row group at a time and in batches: memory follows the batch, not the file.
                for batch in file.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False):
                    if stop.requested:
                        os.unlink(temporary)
                        raise Released()
                    if most_seconds is not None and time.monotonic() - start > most_seconds:
                        raise permanent(
                            "time_limit_exceeded", f"{written} of {total} rows were read in the {most_seconds:g} s given"
                        )
                    for row in batch.to_pylist():
                        plain, lost = _plain(row)
                        nonfinite += lost
                        line = (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()
                        size += len(line)
                        if most_bytes is not None and size > most_bytes:
                            raise permanent(
                                "limit_exceeded", f"the rows take more than {most_bytes} bytes as JSON lines"
                            )
                        lines.write(line)
                    written += batch.num_rows
                    events.progress(written, total, f"row group {group + 1} of {file.num_row_groups}")
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
                column = _broken_column(file, group, columns or names)
                where = f"row group {group}" + (f", column '{column}'" if column else "")
                raise permanent(
                    "invalid_parquet", f"{path}, {where}: {error}", file=path, row_group=group, column=column
                ) from error
    os.replace(temporary, output)
    if nonfinite:
        events.warning(f"{nonfinite} values that are NaN or infinite were written as null: JSON has neither")
    return {
        "output": output,
        "rows": written,
        "row_groups": file.num_row_groups,
        "columns": columns or names,
        "schema": {field.name: str(field.type) for field in file.schema_arrow if not columns or field.name in columns},
        "nonfinite_values": nonfinite,
    }


def _broken_column(file, group: int, columns: list[str]) -> str | None:
    """The first column of the group that cannot be read by itself."""
    for column in columns:
        try:
            file.read_row_group(group, columns=[column], use_threads=False)
        except Exception:
            return column
    return None


def _plain(value: Any) -> tuple[Any, int]:
    """The value in JSON's types, and how many numbers JSON cannot hold were replaced by null."""
    if isinstance(value, float):
        return (value, 0) if math.isfinite(value) else (None, 1)
    if isinstance(value, dict):
        items = {str(key): _plain(item) for key, item in value.items()}
        return {key: item for key, (item, _) in items.items()}, sum(lost for _, lost in items.values())
    if isinstance(value, (list, tuple)):
        parts = [_plain(item) for item in value]
        return [item for item, _ in parts], sum(lost for _, lost in parts)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat(), 0
    if isinstance(value, datetime.timedelta):
        return value.total_seconds(), 0
    if isinstance(value, decimal.Decimal):
        return str(value), 0
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii"), 0
    return value, 0
