"""``preprocess``: a dataset version as tokenised, packed training rows and leak-free held-out rows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy

from .chat import Encoded, Renderer
from .columns import write_columns
from .events import EventStream
from .failures import Released, permanent
from .hashing import file_sha256, files_sha256
from .records import Record, read_records
from .runtime import StopRequest, log, require_empty_directory
from .safefiles import write_json
from .spec import Spec
from .split import EVAL, TRAIN, Split, SplitOptions, split

_BATCH = 512


def run(spec: Spec, events: EventStream, stop: StopRequest) -> dict[str, Any]:
    dataset = spec.object("dataset")
    files = dataset.strings("files")
    manifest = dataset.file("manifest", None)
    base = spec.directory("base_model_dir")
    output = spec.text("output_dir")
    max_length = spec.integer("max_length", 512, low=16, high=1 << 20)
    system_prompt = spec.text("system_prompt", None)
    chat_template = spec.text("chat_template", None)
    truncate = spec.text("truncation", "cut_answer", choices=("cut_answer", "drop")) == "cut_answer"
    packing = spec.flag("packing", True)
    near = spec.object("near_duplicate", None)
    options = SplitOptions(
        seed=spec.integer("seed", 17, low=0, high=2**63 - 1),
        eval_fraction=spec.number("eval_fraction", 0.1, low=1e-6, high=0.9),
        eval_max_records=spec.integer("eval_max_records", None, low=1),
        train_max_records=spec.integer("train_max_records", None, low=1),
        threshold=near.number("threshold", 0.8, low=0.3, high=1.0),
        shingle_words=near.integer("shingle_words", 2, low=1, high=20),
        permutations=near.integer("permutations", 64, low=16, high=1024),
        containment=near.number("containment", 0.9, low=0.3, high=1.0),
        coverage=near.number("coverage", 0.5, low=0.1, high=1.0),
        containment_minimum=near.integer("containment_minimum", 8, low=1),
    )
    spec.warn_unread(events)
    require_empty_directory(output)
    started = time.monotonic()

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    renderer = Renderer(tokenizer, chat_template, max_length, truncate)

    def read() -> Iterator[Record]:
        for record in read_records(files, system_prompt):
            if stop.requested:
                raise Released()
            yield record

    events.progress(0, 3, "splitting without leakage")
    result = split(read, options)
    log(f"split: {json.dumps(result.report)}")
    events.progress(1, 3, "tokenising")
    sides = _encode(read, result, renderer, output)
    events.progress(2, 3, "packing")

    report: dict[str, Any] = {
        "split": result.report,
        "parameters": {
            "max_length": max_length,
            "truncation": "cut_answer" if truncate else "drop",
            "system_prompt": system_prompt,
            "packing": packing,
            "seed": options.seed,
            "eval_fraction": options.eval_fraction,
        },
    }
    facts = {"max_length": max_length, "pad_token_id": _pad(tokenizer)}
    for name, side in sides.items():
        if not side.examples:
            raise permanent(
                "no_examples", f"no {name} record fits in max_length {max_length}; raise it", dropped=side.dropped
            )
        bins = write_columns(os.path.join(output, f"{name}.safetensors"), side.examples, max_length, packing, facts)
        report[name] = side.report(bins, max_length)
    names = ("train.safetensors", "train.jsonl", "eval.safetensors", "eval.jsonl")
    digests = {name: file_sha256(os.path.join(output, name)) for name in names}
    report["files"] = digests
    report["digest"] = files_sha256(digests)
    if manifest:
        report["dataset_manifest_sha256"] = file_sha256(manifest)
    write_json(os.path.join(output, "report.json"), report)
    events.progress(3, 3)
    events.emit(
        "metric",
        step=0,
        values={
            "preprocess/train_records": len(sides["train"].examples),
            "preprocess/eval_records": len(sides["eval"].examples),
            "preprocess/train_tokens": report["train"]["tokens"],
            "preprocess/seconds": round(time.monotonic() - started, 3),
        },
    )
    return {
        "train_file": "train.safetensors",
        "eval_file": "eval.safetensors",
        "train_jsonl": "train.jsonl",
        "eval_jsonl": "eval.jsonl",
        "report_file": "report.json",
        "report": report,
        "digest": report["digest"],
        "train_records": len(sides["train"].examples),
        "eval_records": len(sides["eval"].examples),
        "train_tokens": report["train"]["tokens"],
        "eval_tokens": report["eval"]["tokens"],
        "seconds": round(time.monotonic() - started, 3),
    }


class _Side:
    """What one side of the split collects: encoded examples, and their texts in a file beside them."""

    def __init__(self, path: str):
        self.examples: list[Encoded] = []
        self.dropped = 0
        self._file = open(path, "w", encoding="utf-8")

    def add(self, record: Record, encoded: Encoded | None) -> None:
        if encoded is None:
            self.dropped += 1
            return
        self.examples.append(encoded)
        row = {
            "id": record.id,
            "source_id": record.source_id,
            "question": record.question,
            "answer": record.answer,
            "truncated_tokens": encoded.truncated_tokens,
        }
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()

    def report(self, bins: int, capacity: int) -> dict[str, Any]:
        lengths = numpy.array([len(example.ids) for example in self.examples])
        answers = numpy.array([int(example.mask.sum()) for example in self.examples])
        cut = numpy.array([example.truncated_tokens for example in self.examples])
        edges = [0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 1 << 30]
        counts, _ = numpy.histogram(lengths, bins=edges)
        return {
            "records": len(lengths),
            "tokens": int(lengths.sum()),
            "answer_tokens": int(answers.sum()),
            "length": _summary(lengths),
            "answer_length": _summary(answers),
            "histogram": {f"<{edge}": int(count) for edge, count in zip(edges[1:-1], counts, strict=False)}
            | {f">={edges[-2]}": int(counts[-1])},
            "truncated_records": int((cut > 0).sum()),
            "truncated_tokens": int(cut.sum()),
            "dropped_too_long": self.dropped,
            "bins": bins,
            "packing_efficiency": round(float(lengths.sum()) / (bins * capacity), 4),
        }


def _encode(read, result: Split, renderer: Renderer, output: str) -> dict[str, _Side]:
    sides = {name: _Side(os.path.join(output, f"{name}.jsonl")) for name in ("train", "eval")}
    batch: list[tuple[_Side, Record]] = []

    def flush() -> None:
        for (side, record), encoded in zip(batch, renderer.encode([record for _, record in batch]), strict=True):
            side.add(record, encoded)
        batch.clear()

    for side, record in zip(result.sides.tolist(), read(), strict=True):
        if side in (TRAIN, EVAL):
            batch.append((sides["train" if side == TRAIN else "eval"], record))
            if len(batch) >= _BATCH:
                flush()
    if batch:
        flush()
    for side in sides.values():
        side.close()
    return sides


def _pad(tokenizer) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _summary(values: numpy.ndarray) -> dict[str, float]:
    p50, p95, p99 = numpy.percentile(values, (50, 95, 99))
    return {
        "mean": round(float(values.mean()), 2),
        "p50": float(p50),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "max": int(values.max()),
    }
