"""``evaluate``: one suite over the candidate, the base model and the current champion."""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from typing import Any

from .events import EventStream
from .failures import Released, StageFailure, is_out_of_memory, out_of_memory, peak_rss
from .hashing import file_sha256, files_sha256, value_sha256
from .runtime import StopRequest, choose_device, choose_dtype, default_threads, log, require_empty_directory, set_threads
from .safefiles import read_json, weight_files, write_json
from .spec import Spec

ROLES = ("candidate", "base", "champion")


def run(spec: Spec, events: EventStream, stop: StopRequest) -> dict[str, Any]:
    started = time.monotonic()
    models_spec = spec.object("models")
    models = {role: models_spec.directory(role) for role in ROLES if models_spec.has(role)}
    cached_spec = spec.object("cached", None)
    cached = {role: cached_spec.file(role) for role in ROLES if cached_spec.has(role)}
    examples_spec = spec.object("cached_examples", None)
    examples = {role: examples_spec.file(role) for role in cached if examples_spec.has(role)}
    if "candidate" not in models:
        raise models_spec.fail("candidate", "is missing")
    output = spec.text("output_dir")
    generation = spec.object("generation", None)
    dtype_name = spec.text("dtype", "auto", choices=("auto", "bfloat16", "float32"))
    threads = spec.integer("threads", default_threads(), low=1)

    from .suite import Suite, SuiteOptions

    options = SuiteOptions(
        max_loss_rows=spec.integer("max_loss_rows", None, low=1),
        samples=generation.integer("samples", 32, low=1, high=100_000),
        max_new_tokens=generation.integer("max_new_tokens", 48, low=1, high=8192),
        generation_batch=generation.integer("batch_size", 32, low=1, high=4096),
        loss_batch=spec.integer("batch_size", 4, low=1, high=4096),
        copy_words=spec.integer("copy_words", 20, low=3, high=1000),
        bootstrap=spec.integer("bootstrap_samples", 1000, low=100, high=100_000),
        seed=generation.integer("seed", 17, low=0, high=2**31 - 1),
    )
    require_empty_directory(output)
    set_threads(threads)
    device = choose_device()
    dtype = choose_dtype(dtype_name, device)
    suite = Suite(
        spec.file("eval_file"), spec.file("eval_jsonl"), spec.file("train_file_for_copy_check"), options, str(dtype)
    )
    spec.warn_unread(events)

    results: dict[str, dict[str, Any]] = {}
    for role, path in cached.items():
        found = _reuse(path, suite, models.get(role), role, events)
        if found is not None:
            results[role] = found
            if role in examples:
                shutil.copyfile(examples[role], os.path.join(output, f"examples-{role}.jsonl"))
    pending = [role for role in models if role not in results]
    total = suite.work * len(pending)
    vocabulary: str | None = None
    for position, role in enumerate(pending):

        def tick(done: int, role: str = role, before: int = position * suite.work) -> None:
            if stop.requested:
                raise Released()
            reporter.report(before + done, role)

        reporter = _Reporter(events, total)
        tick(0)
        results[role], vocabulary = _measure(role, models[role], suite, device, dtype, output, tick, vocabulary, events)
        gc.collect()

    files = []
    for role, result in results.items():
        write_json(os.path.join(output, f"results-{role}.json"), result)
        files.append(f"results-{role}.json")
        events.emit(
            "metric",
            step=0,
            values={f"{role}/{name}": value for name, value in result["metrics"].items() if value is not None},
        )
    return {
        "results": results,
        "result_files": {role: f"results-{role}.json" for role in results},
        "example_files": {
            role: f"examples-{role}.jsonl"
            for role in results
            if os.path.isfile(os.path.join(output, f"examples-{role}.jsonl"))
        },
        "comparison": _comparison(results),
        "suite_digest": suite.digest,
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "peak_rss_bytes": peak_rss(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _measure(role, directory, suite, device, dtype, output, tick, vocabulary, events):
    """The results of one model, and the vocabulary that the next ones must share."""
    from .model import load_model, load_tokenizer

    started = time.monotonic()
    tokenizer = load_tokenizer(directory)
    own = value_sha256(sorted(tokenizer.get_vocab().items()))
    if vocabulary is not None and own != vocabulary:
        # Loss per token compares only models that cut text into the same tokens.
        message = f"the {role} has another vocabulary than the candidate; its metrics cannot be compared"
        events.warning(message, role=role)
        return {"role": role, "metrics": {}, "nonfinite": [], "intervals": {}, "counts": {}, "incomparable": message,
                "suite_digest": suite.digest, "model_digest": _model_digest(directory)}, vocabulary  # fmt: skip
    try:
        model = load_model(directory, device, dtype)
        result, examples = suite.measure(model, tokenizer, device, tick)
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(
                error, role=role, batch_size=suite.options.loss_batch,
                generation_batch_size=suite.options.generation_batch,
            ) from error  # fmt: skip
        raise
    with open(os.path.join(output, f"examples-{role}.jsonl"), "w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example, ensure_ascii=False, allow_nan=False) + "\n")
    result |= {
        "role": role,
        "suite_digest": suite.digest,
        "suite": suite.identity,
        "model_digest": _model_digest(directory),
        "seconds": round(time.monotonic() - started, 3),
    }
    log(f"{role}: {json.dumps(result['metrics'])} in {result['seconds']} s")
    return result, own


def _reuse(path: str, suite, directory: str | None, role: str, events: EventStream) -> dict[str, Any] | None:
    """Earlier results of the same suite on the same weights; None when they must be measured again."""
    found = read_json(path, f"the cached results of the {role}")
    problem = None
    if not isinstance(found, dict) or not isinstance(found.get("metrics"), dict):
        problem = "it is not a result file"
    elif found.get("suite_digest") != suite.digest:
        problem = "it comes from other held-out rows or other parameters"
    elif directory is not None and found.get("model_digest") != _model_digest(directory):
        problem = "it comes from other weights"
    if problem is None:
        log(f"{role}: reused {path}")
        return {**found, "role": role, "cached": True}
    if directory is None:
        raise StageFailure(
            "permanent", "cached_results_unusable", f"cannot use the cached results {path}: {problem}; "
            f"give models.{role} to measure again", role=role,
        )  # fmt: skip
    events.warning(f"the cached results of the {role} are not used: {problem}", role=role)
    return None


def _model_digest(directory: str) -> str:
    return files_sha256({name: file_sha256(os.path.join(directory, name)) for name in weight_files(directory)})


def _comparison(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The candidate against the others: differences, and the relative drop of perplexity."""
    candidate = results["candidate"]["metrics"]
    comparison: dict[str, Any] = {}
    for role in ("base", "champion"):
        other = results.get(role, {}).get("metrics") or {}
        differences = {
            name: candidate[name] - other[name]
            for name in candidate
            if candidate[name] is not None and other.get(name) is not None
        }
        if differences:
            comparison[role] = {"differences": differences}
            if "perplexity" in differences and other["perplexity"]:
                comparison[role]["perplexity_drop"] = -differences["perplexity"] / other["perplexity"]
    return comparison


class _Reporter:
    """Progress at most once a second: generation ticks with every token."""

    def __init__(self, events: EventStream, total: int):
        self._events = events
        self._total = total
        self._last = 0.0

    def report(self, done: int, role: str) -> None:
        now = time.monotonic()
        if done >= self._total or now - self._last >= 1:
            self._last = now
            self._events.progress(done, self._total, f"evaluating the {role}")
