from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from martlet_stages.runtime import prepare_environment

prepare_environment(threads=1)

import support  # noqa: E402


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return support.make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def records(tmp_path_factory) -> Path:
    return support.make_records(tmp_path_factory.mktemp("data") / "records-00000.jsonl")


@pytest.fixture(scope="session")
def prepared(base, records, tmp_path_factory) -> Path:
    """The output of preprocess on the generated records."""
    output = tmp_path_factory.mktemp("prepared") / "out"
    support.run("preprocess", preprocess_spec(base, records, output))
    return output


def preprocess_spec(base, records, output, **changes) -> dict:
    return {
        "dataset": {"files": [str(records)]}, "base_model_dir": base, "output_dir": output, "max_length": 256,
        "eval_fraction": 0.25, "seed": 3, **changes,
    }  # fmt: skip


@pytest.fixture
def preprocess(base, records):
    return lambda output, **changes: preprocess_spec(base, changes.pop("records", records), output, **changes)


@pytest.fixture
def training(base, prepared, tmp_path):
    def spec(name: str = "out", **changes) -> dict:
        return {
            "base_model_dir": base, "train_file": prepared / "train.safetensors", "output_dir": tmp_path / name,
            "checkpoint_dir": tmp_path / f"{name}-checkpoints", "method": "lora", "dtype": "float32",
            "lora": {"r": 4, "alpha": 8, "dropout": 0.1}, "max_steps": 6, "micro_batch_size": 2,
            "gradient_accumulation_steps": 2, "learning_rate": 0.01, "seed": 11, **changes,
        }  # fmt: skip

    return spec
