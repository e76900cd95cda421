"""The evaluation suite: what is asked of every model alike, and its metrics."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from .columns import Columns
from .copies import CopyIndex
from .events import finite, nonfinite_names
from .failures import permanent
from .generate import generate
from .hashing import file_sha256, value_sha256
from .scoring import packed_rows, score
from .text_metrics import bootstrap_interval, repetition, rouge_l, token_f1, words

VERSION = 1


@dataclass(frozen=True)
class SuiteOptions:
    max_loss_rows: int | None
    samples: int
    max_new_tokens: int
    generation_batch: int
    loss_batch: int
    copy_words: int
    bootstrap: int
    seed: int


class Suite:
    """The held-out rows and samples, chosen by keyed hash of the record ids: the same for every model."""

    def __init__(self, eval_file: str, eval_jsonl: str, copy_file: str, options: SuiteOptions, dtype: str):
        self.options = options
        self.columns = Columns(eval_file)
        self.rows = _read_rows(eval_jsonl)
        if len(self.rows) <= int(self.columns.record_index.max()):
            raise permanent(
                "eval_mismatch", f"{eval_jsonl} has {len(self.rows)} lines, {eval_file} refers to more; "
                "give both files of one preprocess output",
            )  # fmt: skip
        self.copies = CopyIndex(copy_file, options.copy_words)
        self.pad = self.columns.facts.get("pad_token_id", 0)
        count = self.columns.examples
        ranked = sorted(range(count), key=lambda index: (self._rank(index), index))
        self.scored = sorted(ranked[: options.max_loss_rows])
        self.sampled = ranked[: options.samples]
        capacity = self.columns.facts.get("max_length", 512)
        self.packed = packed_rows(self.columns, self.scored, capacity)
        self.identity = {
            "version": VERSION,
            "eval_file": file_sha256(eval_file),
            "eval_jsonl": file_sha256(eval_jsonl),
            "copy_file": file_sha256(copy_file),
            "dtype": dtype,
            **{name: value for name, value in asdict(options).items() if not name.endswith("_batch")},
        }
        self.digest = value_sha256(self.identity)

    @property
    def work(self) -> int:
        """Units of progress for one model: rows scored, then prompts continued."""
        return len(self.packed) + len(self.sampled)

    def row(self, example: int) -> dict[str, Any]:
        return self.rows[int(self.columns.record_index[example])]

    def _rank(self, example: int) -> bytes:
        key = f"{self.options.seed}\0{self.row(example)['id']}".encode()
        return hashlib.blake2b(key, digest_size=8).digest()

    def measure(self, model, tokenizer, device, tick: Callable[[int], None]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The metrics of one model, and one object per example."""
        options = self.options
        scores = score(
            model, self.packed, self.columns.examples, options.loss_batch, self.pad, device, lambda done: tick(done)
        )
        prompts = [self.columns.example(i)[0][: int(self.columns.prompt_length[i])] for i in self.sampled]
        generation = generate(
            model, prompts, options.max_new_tokens, options.generation_batch, self.pad, _ends(model, tokenizer), device,
            lambda done: tick(len(self.packed) + done),
        )  # fmt: skip
        texts = tokenizer.batch_decode([answer.tokens for answer in generation.answers], skip_special_tokens=True)

        per_example: dict[int, dict[str, Any]] = {}
        for example in self.scored:
            row = self.row(example)
            per_example[example] = {
                "id": row["id"],
                "source_id": row["source_id"],
                "loss_sum": float(scores.loss[example]),
                "answer_tokens": int(scores.tokens[example]),
                "correct_tokens": int(scores.correct[example]),
            }
        generated = []
        for example, text, answer in zip(self.sampled, texts, generation.answers, strict=True):
            row = self.row(example)
            predicted, reference = words(text), words(row["answer"])
            values = {
                "token_f1": token_f1(predicted, reference),
                "rouge_l": rouge_l(predicted, reference),
                "repetition": repetition(predicted),
                "copied": self.copies.copied(text),
                "empty": not predicted,
                "truncated": not answer.finished,
            }
            generated.append(values)
            base = per_example.setdefault(example, {"id": row["id"], "source_id": row["source_id"]})
            base.update(question=row["question"], reference=row["answer"], generated=text.strip(), **values)

        metrics, intervals = self._metrics(scores, generated)
        metrics["generation_tokens_per_second"] = (
            generation.new_tokens / generation.seconds if generation.seconds else 0.0
        )
        counts = {
            "scored_rows": len(self.scored),
            "scored_tokens": int(scores.tokens.sum()),
            "generated_samples": len(generated),
            "generated_tokens": generation.new_tokens,
        }
        result = {
            "metrics": {name: finite(float(value)) for name, value in metrics.items()},
            "nonfinite": nonfinite_names({name: float(value) for name, value in metrics.items()}),
            "intervals": finite(intervals),
            "counts": counts,
        }
        return result, [finite(item) for item in per_example.values()]

    def _metrics(self, scores, generated: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, list[float]]]:
        options = self.options
        loss = scores.mean_loss
        metrics = {"loss": loss, "perplexity": _exp(loss), "token_accuracy": scores.accuracy}
        chosen = numpy.array(self.scored)
        weights = scores.tokens[chosen]
        intervals: dict[str, list[float]] = {}
        low, high = bootstrap_interval(scores.loss[chosen], weights, options.seed, options.bootstrap)
        intervals["loss"] = [low, high]
        intervals["perplexity"] = [_exp(low), _exp(high)]
        intervals["token_accuracy"] = list(
            bootstrap_interval(scores.correct[chosen], weights, options.seed, options.bootstrap)
        )
        names = {
            "token_f1": "token_f1", "rouge_l": "rouge_l", "repetition": "repetition", "verbatim_copy_rate": "copied",
            "empty_rate": "empty", "truncated_rate": "truncated",
        }  # fmt: skip
        for metric, field in names.items():
            values = numpy.array([float(item[field]) for item in generated])
            metrics[metric] = float(values.mean()) if len(values) else float("nan")
            intervals[metric] = list(bootstrap_interval(values, None, options.seed, options.bootstrap))
        return metrics, intervals


def _read_rows(path: str) -> list[dict[str, Any]]:
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                rows.append({name: row[name] for name in ("id", "source_id", "question", "answer")})
            except (ValueError, KeyError, TypeError) as error:
                raise permanent(
                    "invalid_record", f"{path}:{number}: expected id, source_id, question and answer", file=path, line=number
                ) from error
    return rows


def _ends(model, tokenizer) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those the model's own generation settings name."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id}
    if isinstance(configured, int):
        ends.add(configured)
    elif configured:
        ends.update(configured)
    return {token for token in ends if token is not None}


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
