"""The model card."""

from __future__ import annotations

import json
from typing import Any


def model_card(
    facts: list[tuple[str, Any]], summary: dict[str, Any], parameters: dict[str, Any], train_digest: str
) -> str:
    """A card in Markdown: front matter, what it was made from, how, and what came out of training."""
    given = dict(facts)
    name = str(given.get("title") or "A fine-tuned language model")
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    for key, source in (("base_model", "base"), ("license", "base_licence")):
        if given.get(source):
            lines.append(f"{key}: {json.dumps(str(given[source]), ensure_ascii=False)}")
    lines += ["---", "", f"# {name}", "", "## Made from", ""]
    rows = {"Training rows (SHA-256)": train_digest, **{_title(key): value for key, value in given.items()}}
    lines += _table(rows)
    lines += ["", "## Training", ""]
    how = {key: value for key, value in summary.items() if key not in ("versions", "lora") and value is not None}
    lines += _table({_title(key): value for key, value in {**how, **(summary.get("lora") or {})}.items()})
    lines += ["", "## Parameters", "", *_table(parameters)]
    lines += ["", "## Versions", "", *_table(summary["versions"])]
    if summary.get("diverged_at_step"):
        lines += ["", f"The loss stopped being finite at step {summary['diverged_at_step']}; these weights are the last before."]
    lines += [
        "",
        "The adapter was merged in float32 and rounded once to the weights' own type."
        if summary["method"] == "lora"
        else "All weights were trained, with float32 masters.",
        "Loss is per answer token, in nats.",
        "",
    ]
    return "\n".join(lines)


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _table(rows: dict[str, Any]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in rows.items())]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")
