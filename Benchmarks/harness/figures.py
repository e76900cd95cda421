"""Numbers: medians, percentiles, tables."""

import json
import math
import os
import statistics


def percentile(values, share):
    """The smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def medians(rows):
    """The median of each member over rows with the same members."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def table(head, rows):
    """Columns as wide as they must be; the first to the left, the others to the right."""
    cells = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        line = [cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(line).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def number(value, digits=1):
    """For people; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def write_json(path, document):
    """Whole or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as sink:
        json.dump(document, sink, indent=2)
        sink.write("\n")
    os.replace(temporary, path)
