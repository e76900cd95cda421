"""``train``: LoRA or full fine-tuning on packed rows, resumable, to adapter and merged weights."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict
from typing import Any

from .card import model_card
from .checkpoint import checkpoint_dtype, read_checkpoint
from .columns import Columns
from .events import EventStream, finite
from .failures import Released, is_out_of_memory, out_of_memory, peak_rss, permanent
from .hashing import file_sha256
from .runtime import StopRequest, choose_device, choose_dtype, default_threads, log, require_empty_directory, set_threads
from .safefiles import weight_files, write_json
from .spec import Spec


def run(spec: Spec, events: EventStream, stop: StopRequest) -> dict[str, Any]:
    started = time.monotonic()
    base = spec.directory("base_model_dir")
    train_file = spec.file("train_file")
    eval_file = spec.file("eval_file", None)
    output = spec.text("output_dir")
    checkpoints = spec.text("checkpoint_dir")
    resume = spec.directory("resume_from", None)
    method = spec.text("method", "lora", choices=("lora", "full"))
    dtype_name = spec.text("dtype", "auto", choices=("auto", "bfloat16", "float32"))
    decay = spec.number("weight_decay", 0.0, low=0.0, high=1.0)
    betas = (spec.number("beta1", 0.9, low=0.0, high=0.9999), spec.number("beta2", 0.999, low=0.0, high=0.99999))
    checkpointing = spec.flag("gradient_checkpointing", False)
    card = spec.object("model_card", None)
    facts = card.items()
    threads = spec.integer("threads", default_threads(), low=1)

    import torch

    from . import lora
    from .model import load_model, load_tokenizer
    from .optimizer import MasterAdamW
    from .trainer import Plan, Trainer

    options = lora.read_options(spec.object("lora", None)) if method == "lora" else None
    columns = Columns(train_file)
    micro = spec.integer("micro_batch_size", 4, low=1, high=4096)
    accumulation = spec.integer("gradient_accumulation_steps", 1, low=1, high=1 << 16)
    total = _total_steps(spec, columns.bins, micro * accumulation)
    warmup_ratio = spec.number("warmup_ratio", 0.05, low=0.0, high=1.0)
    plan = Plan(
        total_steps=total,
        micro_batch=micro,
        accumulation=accumulation,
        peak_rate=spec.number("learning_rate", low=0.0),
        warmup_steps=math.ceil(warmup_ratio * total),
        schedule=spec.text("schedule", "cosine", choices=("cosine", "linear", "constant")),
        minimum_ratio=spec.number("min_lr_ratio", 0.1, low=0.0, high=1.0),
        max_norm=spec.number("max_grad_norm", 1.0, low=0.0),
        seed=spec.integer("seed", 17, low=0, high=2**31 - 1),
        checkpoint_steps=spec.integer("checkpoint_every_steps", 0, low=0),
        checkpoint_seconds=spec.number("checkpoint_every_seconds", 0.0, low=0.0),
        eval_steps=spec.integer("eval_every_steps", 0, low=0),
        eval_bins=spec.integer("eval_max_bins", 8, low=1),
    )
    require_empty_directory(output)
    os.makedirs(checkpoints, exist_ok=True)
    spec.warn_unread(events)

    set_threads(threads)
    device = choose_device()
    if resume and dtype_name == "auto":
        # What is best on the machine that began: this one may be of another kind.
        dtype_name = checkpoint_dtype(resume)
    dtype = choose_dtype(dtype_name, device)
    events.progress(0, total, "loading the base model")
    try:
        model = load_model(base, device, dtype)
        tokenizer = load_tokenizer(base)
        if method == "lora":
            model = lora.attach(model, options, card.text("base", None), plan.seed)
        if checkpointing:
            _checkpoint_activations(model)
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        optimizer = MasterAdamW(named, betas, decay)
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, phase="loading the model", micro_batch_size=micro) from error
        raise
    trained = sum(parameter.numel() for _, parameter in named)
    log(f"{method}: {trained} trained parameters, {dtype} on {device}, {threads} threads, {total} steps")

    # What must be equal for a checkpoint to be continued. The micro batch is absent on purpose: a retry after
    # exhausted memory halves it, doubles the accumulation, and goes on with the same training.
    fingerprint = {
        "train_file": file_sha256(train_file),
        "base": {name: file_sha256(os.path.join(base, name)) for name in weight_files(base)},
        "method": method,
        "lora": options,
        "dtype": str(dtype),
        "batch": micro * accumulation,
        "total_steps": total,
        "learning_rate": plan.peak_rate,
        "warmup_steps": plan.warmup_steps,
        "schedule": plan.schedule,
        "min_lr_ratio": plan.minimum_ratio,
        "weight_decay": decay,
        "betas": list(betas),
        "max_grad_norm": plan.max_norm,
        "seed": plan.seed,
    }
    pad = columns.facts.get("pad_token_id", 0)
    held_out = Columns(eval_file) if eval_file and plan.eval_steps else None
    trainer = Trainer(model, columns, held_out, optimizer, plan, pad, device, events, stop)
    resumed_from = None
    if resume:
        trainer.restore(*read_checkpoint(resume, fingerprint))
        resumed_from = trainer.step
        log(f"resumed from step {resumed_from}")
    if stop.requested:
        raise Released()
    trainer.run(finite(fingerprint), checkpoints)

    events.progress(trainer.step, total, "merging and writing the model")
    summary = {
        "method": method,
        "lora": options,
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": threads,
        "trained_parameters": trained,
        "steps": trainer.step,
        "total_steps": total,
        "resumed_from_step": resumed_from,
        "diverged_at_step": trainer.diverged_at,
        "tokens": trainer.tokens,
        "answer_tokens": trainer.answer_tokens,
        "training_seconds": round(trainer.seconds, 3),
        "tokens_per_second": round(trainer.tokens / trainer.seconds, 2) if trainer.seconds else 0.0,
        "epochs": round(trainer.step * micro * accumulation / columns.bins, 4),
        "first_loss": trainer.curve[0].loss if trainer.curve else None,
        "last_loss": trainer.curve[-1].loss if trainer.curve else None,
        "peak_rss_bytes": peak_rss(),
        "peak_device_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "versions": _versions(),
    }
    parameters = {
        key: fingerprint[key] for key in fingerprint if key not in ("train_file", "base", "lora", "method", "dtype")
    } | {"micro_batch_size": micro, "gradient_accumulation_steps": accumulation, "gradient_checkpointing": checkpointing}
    _write(model, tokenizer, method, output)
    curve = [asdict(point) for point in trainer.curve]
    report = finite({**summary, "parameters": parameters, "curve": curve, "fingerprint": fingerprint})
    summary["seconds"] = report["seconds"] = round(time.monotonic() - started, 3)
    write_json(os.path.join(output, "training.json"), report)
    with open(os.path.join(output, "README.md"), "w", encoding="utf-8") as file:
        file.write(model_card(facts, finite(summary), parameters, report["fingerprint"]["train_file"]))
    return {
        "merged_dir": "merged",
        "adapter_dir": "adapter" if method == "lora" else None,
        "training_file": "training.json",
        "model_card_file": "README.md",
        **finite({key: value for key, value in summary.items() if key not in ("lora", "versions")}),
    }


def _total_steps(spec: Spec, bins: int, batch: int) -> int:
    steps = spec.integer("max_steps", None, low=1, high=10**9)
    epochs = spec.number("epochs", None, low=0.0, high=10**6)
    if steps is not None:
        return steps
    if epochs is None:
        raise spec.fail("max_steps", "or 'epochs' must be given")
    if epochs <= 0:
        raise spec.fail("epochs", "must be greater than 0")
    return max(1, math.ceil(epochs * bins / batch))


def _checkpoint_activations(model) -> None:
    """Recomputes activations in the backward pass: about a third more time for a fraction of the memory."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()


def _write(model, tokenizer, method: str, output: str) -> None:
    from . import lora

    merged = os.path.join(output, "merged")
    if method == "lora":
        lora.save_adapter(model, os.path.join(output, "adapter"))
        model = lora.merge(model)
    model.config._name_or_path = ""
    try:
        model.save_pretrained(merged)
        tokenizer.save_pretrained(merged)
    except OSError as error:
        raise permanent("output_unwritable", f"cannot write {merged}: {error.strerror}") from error


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    names = ("torch", "transformers", "peft", "safetensors", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
