"""TinyLlama-1.1B's exact architecture, with random weights, through train, merge and evaluate."""

import json
import math

import pytest
import support


@pytest.mark.slow
def test_tinyllama_goes_through_train_merge_and_evaluate(tmp_path):
    base = support.make_tinyllama(tmp_path / "base")
    records = support.make_records(tmp_path / "records.jsonl", sources=12)
    support.run("preprocess", {
        "dataset": {"files": [str(records)]}, "base_model_dir": base, "output_dir": tmp_path / "data",
        "max_length": 256, "eval_fraction": 0.25, "seed": 3,
    })  # fmt: skip
    recorder = support.Recorder()
    trained = support.run("train", {
        "base_model_dir": base, "train_file": tmp_path / "data" / "train.safetensors", "output_dir": tmp_path / "out",
        "checkpoint_dir": tmp_path / "checkpoints", "method": "lora", "lora": {"r": 8, "alpha": 16}, "max_steps": 3,
        "micro_batch_size": 1, "learning_rate": 1e-3, "warmup_ratio": 0, "schedule": "constant", "threads": 2,
        "gradient_checkpointing": True, "checkpoint_every_steps": 2,
    }, recorder)  # fmt: skip
    assert trained["steps"] == 3 and [event["step"] for event in recorder.of("checkpoint")] == [2]
    assert trained["last_loss"] < trained["first_loss"]
    output = support.run("evaluate", {
        "models": {"candidate": tmp_path / "out" / "merged", "base": base},
        "eval_file": tmp_path / "data" / "eval.safetensors", "eval_jsonl": tmp_path / "data" / "eval.jsonl",
        "train_file_for_copy_check": tmp_path / "data" / "train.jsonl", "output_dir": tmp_path / "evaluation",
        "max_loss_rows": 4, "threads": 2, "generation": {"samples": 1, "max_new_tokens": 4, "batch_size": 1},
    })  # fmt: skip
    candidate, base_metrics = (output["results"][role]["metrics"] for role in ("candidate", "base"))
    # Random weights know nothing: the base's loss is near log(32000).
    assert base_metrics["loss"] == pytest.approx(math.log(32000), abs=1.0)
    assert candidate["loss"] < base_metrics["loss"]
    facts = {name: trained[name] for name in ("training_seconds", "tokens_per_second", "peak_rss_bytes", "dtype")}
    print(json.dumps({**facts, "evaluation_seconds": output["seconds"], "loss": [base_metrics["loss"], candidate["loss"]]}))
