import json
import math
import shutil

import pytest
import support
import torch

from martlet_stages import runtime, trainer as trainer_module
from martlet_stages.failures import Released, StageFailure, is_out_of_memory, out_of_memory
from martlet_stages.model import Batch, load_model, summed_loss
from martlet_stages.columns import Columns
from martlet_stages.runtime import StopRequest
from martlet_stages.safefiles import read_header

CPU = torch.device("cpu")


def curve(output):
    return json.loads((output / "training.json").read_text())["curve"]


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "merged" / "model.safetensors")


def stop_at(step):
    stop = StopRequest()

    def hook(event):
        if event["event"] == "progress" and event["step"] == step:
            stop.requested = True

    return support.Recorder(hook), stop


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_loss_falls_and_the_result_is_complete(training, tmp_path, method):
    recorder = support.Recorder()
    # As the worker gives it.
    card = {
        "title": "security-qa", "run": "r1", "base": "tiny", "base_digest": "ba5e", "base_licence": "mit",
        "dataset": "d1", "code_version": "1",
    }  # fmt: skip
    spec = training(method=method, max_steps=20, model_card=card)
    output = support.run("train", spec, recorder)
    losses = [point["loss"] for point in curve(tmp_path / "out")]
    assert len(losses) == 20 and sum(losses[-4:]) < 0.9 * sum(losses[:4])
    assert output["steps"] == 20 and output["diverged_at_step"] is None
    merged = {path.name for path in (tmp_path / "out" / "merged").iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= merged
    assert (tmp_path / "out" / "adapter").exists() == (method == "lora")
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'base_model: "tiny"' in card and "\n# security-qa\n" in card and 'license: "mit"' in card and "d1" in card
    assert str(tmp_path) not in card
    for path in (tmp_path / "out").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), f"{path} names a path of this machine"
    assert [event["step"] for event in recorder.of("metric")] == list(range(1, 21))


def test_the_merged_model_answers_as_base_with_adapter(training, base, tmp_path):
    from peft import PeftModel

    support.run("train", training(max_steps=8))
    ids = torch.arange(5, 60)[None]
    with_adapter = PeftModel.from_pretrained(
        load_model(str(base), CPU, torch.float32), str(tmp_path / "out" / "adapter")
    ).eval()
    merged = load_model(str(tmp_path / "out" / "merged"), CPU, torch.float32)
    plain = load_model(str(base), CPU, torch.float32)
    with torch.no_grad():
        expected = with_adapter(input_ids=ids).logits
        torch.testing.assert_close(merged(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
        assert (plain(input_ids=ids).logits - expected).abs().max() > 0.01


def test_equal_seeds_give_equal_weights_and_other_seeds_others(training, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        support.run("train", training(name, seed=seed, max_steps=3))
    first, second, third = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], third[key]) for key in first)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("stop_step", [1, 4])
def test_a_resumed_training_is_the_uninterrupted_one(training, tmp_path, method, stop_step):
    support.run("train", training("whole", method=method))
    recorder, stop = stop_at(stop_step)
    with pytest.raises(Released):
        support.run("train", training("part", method=method), recorder, stop)
    saved = recorder.of("checkpoint")
    assert [event["step"] for event in saved] == [stop_step]
    assert not (tmp_path / "part" / "merged").exists()
    shutil.rmtree(tmp_path / "part")
    output = support.run("train", training("part", method=method, resume_from=saved[0]["directory"]))
    assert output["resumed_from_step"] == stop_step
    assert curve(tmp_path / "part") == curve(tmp_path / "whole")
    mine, theirs = weights(tmp_path / "part"), weights(tmp_path / "whole")
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_half_the_micro_batch_with_twice_the_accumulation_is_the_same_training(training, tmp_path):
    plain = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    support.run("train", training("wide", micro_batch_size=4, gradient_accumulation_steps=1, **plain))
    support.run("train", training("narrow", micro_batch_size=1, gradient_accumulation_steps=4, **plain))
    for wide, narrow in zip(curve(tmp_path / "wide"), curve(tmp_path / "narrow"), strict=True):
        assert narrow["loss"] == pytest.approx(wide["loss"], rel=1e-4)
    # A retry after exhausted memory goes on from the same checkpoint.
    recorder, stop = stop_at(2)
    with pytest.raises(Released):
        spec = training("cut", micro_batch_size=4, gradient_accumulation_steps=1, **plain)
        support.run("train", spec, recorder, stop)
    shutil.rmtree(tmp_path / "cut")
    saved = recorder.of("checkpoint")[0]["directory"]
    spec = training("cut", micro_batch_size=2, gradient_accumulation_steps=2, resume_from=saved, **plain)
    assert support.run("train", spec)["resumed_from_step"] == 2


def test_sigterm_saves_reports_and_exits_with_75(training, tmp_path):
    # Long enough that it cannot finish first.
    spec = training(max_steps=100_000, checkpoint_every_steps=3)
    process = support.start("train", spec, tmp_path)
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "checkpoint":
            process.terminate()
            break
    code, rest = support.finish(process)
    events = lines + rest
    assert code == 75
    assert [event["event"] for event in events[-2:]] == ["checkpoint", "released"]
    assert all(isinstance(event["time"], float) for event in events)
    saved = events[-2]
    assert (tmp_path / "out-checkpoints" / f"step-{saved['step']:08d}" / "state.safetensors").is_file()
    assert not list((tmp_path / "out-checkpoints").glob("*.partial"))


def test_checkpoints_come_on_cadence_and_hold_no_pickle(training, tmp_path):
    recorder = support.Recorder()
    support.run("train", training(max_steps=7, checkpoint_every_steps=2), recorder)
    assert [event["step"] for event in recorder.of("checkpoint")] == [2, 4, 6]
    for event in recorder.of("checkpoint"):
        names = {path.name for path in (tmp_path / "out-checkpoints" / f"step-{event['step']:08d}").iterdir()}
        assert names == {"state.safetensors", "state.json"}
    for path in tmp_path.rglob("*"):
        assert path.suffix not in (".bin", ".pt", ".pth", ".pkl", ".npy")


def test_a_checkpoint_of_another_training_is_refused_by_name(training, tmp_path):
    recorder = support.Recorder()
    support.run("train", training(checkpoint_every_steps=2), recorder)
    saved = recorder.of("checkpoint")[0]["directory"]
    with pytest.raises(StageFailure, match="its learning_rate is 0.01, here it is 0.02") as caught:
        support.run("train", training("other", learning_rate=0.02, resume_from=saved))
    assert (caught.value.kind, caught.value.code) == ("permanent", "checkpoint_mismatch")
    state = tmp_path / "out-checkpoints" / "step-00000002" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(StageFailure, match="promises") as caught:
        support.run("train", training("cut", resume_from=saved))
    assert (caught.value.kind, caught.value.code) == ("permanent", "checkpoint_invalid")
    (state.parent / "state.json").write_text("{")
    with pytest.raises(StageFailure, match="not JSON") as caught:
        support.run("train", training("state", resume_from=saved))
    assert (caught.value.kind, caught.value.code) == ("permanent", "checkpoint_invalid")


def test_a_machine_of_another_kind_continues_with_the_dtype_of_the_first(training, tmp_path, monkeypatch):
    for first, second in ((True, False), (False, True)):
        name = f"from-{first}"
        monkeypatch.setattr(runtime, "cpu_has_bfloat16", lambda has=first: has)
        recorder, stop = stop_at(2)
        with pytest.raises(Released):
            support.run("train", training(name, dtype="auto"), recorder, stop)
        shutil.rmtree(tmp_path / name)
        monkeypatch.setattr(runtime, "cpu_has_bfloat16", lambda has=second: has)
        spec = training(name, dtype="auto", resume_from=recorder.of("checkpoint")[0]["directory"])
        output = support.run("train", spec)
        assert output["resumed_from_step"] == 2
        assert output["dtype"] == ("bfloat16" if first else "float32")


def test_a_loss_that_is_not_finite_ends_training_with_a_usable_output(training, tmp_path, monkeypatch):
    real = trainer_module.summed_loss
    calls = []

    def broken(model, batch):
        calls.append(1)
        return real(model, batch) * (math.nan if len(calls) > 4 else 1.0)

    monkeypatch.setattr(trainer_module, "summed_loss", broken)
    recorder = support.Recorder()
    output = support.run("train", training(), recorder)
    assert output["diverged_at_step"] == 3 and output["steps"] == 2 and output["last_loss"] is None
    assert "not finite at step 3" in recorder.of("warning")[0]["message"]
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "out").values())


def test_a_hopeless_learning_rate_still_yields_a_model_for_the_gate(training, tmp_path):
    support.run("train", training(method="full", learning_rate=1e6, max_steps=6, warmup_ratio=0))
    assert (tmp_path / "out" / "merged" / "model.safetensors").is_file()


def test_exhausted_memory_is_reported_with_the_numbers(training, monkeypatch):
    def hungry(model, batch):
        # The allocator's real message, from a real refusal: no machine has an exabyte.
        return torch.empty(1 << 58, dtype=torch.float32)

    monkeypatch.setattr(trainer_module, "summed_loss", hungry)
    with pytest.raises(StageFailure) as caught:
        support.run("train", training())
    failure = caught.value
    assert (failure.kind, failure.code) == ("resource", "out_of_memory")
    assert failure.details["bytes_asked"] == 4 << 58
    assert failure.details["micro_batch_size"] == 2
    assert failure.details["gradient_accumulation_steps"] == 2
    assert failure.details["sequence_length"] > 0 and failure.details["bytes_free"] > 0


def test_the_kernels_memory_limit_is_reported_the_same_way(training, tmp_path):
    """A real limit on the process (RLIMIT_DATA), as a container or a batch system sets it."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"threads": 1, **training(max_steps=100_000)}, default=str))
    code = (
        "import resource, sys\n"
        "from martlet_stages import trainer\n"
        "from martlet_stages.__main__ import main\n"
        "import torch\n"
        "real = trainer.summed_loss\n"
        "def limited(model, batch):\n"
        "    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))\n"
        "    return real(model, batch) + torch.ones(4 << 30).sum()\n"
        "trainer.summed_loss = limited\n"
        "sys.exit(main(['train', '--spec', sys.argv[1]]))\n"
    )
    import os
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-c", code, str(spec)], cwd=tmp_path, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(support.ROOT)},
    )  # fmt: skip
    status, events = support.finish(process)
    assert status == 1 and events[-1]["event"] == "error"
    assert events[-1]["class"] == "resource" and events[-1]["code"] == "out_of_memory"
    assert events[-1]["details"]["bytes_asked"] == 16 << 30


def test_exhausted_memory_in_the_optimizer_is_reported_the_same_way(training, monkeypatch):
    """Its moments come into being with the first step."""
    monkeypatch.setattr(trainer_module.MasterAdamW, "step", lambda *_: torch.empty(1 << 58, dtype=torch.float32))
    with pytest.raises(StageFailure) as caught:
        support.run("train", training())
    details = caught.value.details
    assert (caught.value.kind, caught.value.code) == ("resource", "out_of_memory")
    assert (details["micro_batch_size"], details["step"]) == (2, 0) and details["sequence_length"] > 0


@pytest.mark.parametrize(
    ("limit", "free", "device"),
    [("", 0, 79 << 30), ("4.00 GiB allowed; ", 256 << 20, 4 << 30)],
)
def test_a_gpus_refusal_is_read_with_its_limit(limit, free, device):
    left = "60.00 GiB" if limit else "0 bytes"
    error = torch.OutOfMemoryError(
        f"CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 79.00 GiB of which {left} is "
        f"free. Including non-PyTorch memory, this process has 4.25 GiB memory in use. {limit}Of the allocated memory "
        "3.50 GiB is allocated by PyTorch, and 256.00 MiB is reserved by PyTorch but unallocated."
    )
    assert is_out_of_memory(error)
    failure = out_of_memory(error, micro_batch_size=4)
    assert failure.details["bytes_asked"] == 512 << 20 and failure.details["bytes_free"] == free
    assert failure.details["device_bytes"] == device
    assert f"asked for 512 MiB more with {free >> 20} MiB of the GPU's {device >> 20} MiB free" in failure.message


def test_what_cuda_itself_cannot_allocate_is_exhausted_memory_too():
    for text in (
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ):
        error = RuntimeError(text)
        assert is_out_of_memory(error)
        # Nothing is known of a GPU that has no room for a context: never the host's memory in its place.
        assert out_of_memory(error).details["bytes_free"] is None
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_gradient_checkpointing_changes_nothing_but_memory(training, tmp_path):
    plain = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}, "max_steps": 3}
    support.run("train", training("a", **plain))
    support.run("train", training("b", gradient_checkpointing=True, **plain))
    for left, right in zip(curve(tmp_path / "a"), curve(tmp_path / "b"), strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=1e-5)


def test_the_first_loss_is_the_mean_over_the_answer_tokens(training, prepared, base, tmp_path):
    columns = Columns(str(prepared / "train.safetensors"))
    # One step over every bin: the loss before any update is the base model's on the whole file.
    support.run("train", training(max_steps=1, micro_batch_size=3, gradient_accumulation_steps=-(-columns.bins // 3),
                                  lora={"r": 4, "alpha": 8, "dropout": 0.0}))  # fmt: skip
    model = load_model(str(base), CPU, torch.float32)
    size = 3 * -(-columns.bins // 3)
    total = count = 0
    for index in range(columns.bins):
        batch = Batch([columns.row(index)], 0, CPU, True)
        total += float(summed_loss(model, batch).detach())
        count += batch.target_count
    if size == columns.bins:
        assert curve(tmp_path / "out")[0]["loss"] == pytest.approx(total / count, rel=1e-4)
    else:
        assert curve(tmp_path / "out")[0]["loss"] == pytest.approx(total / count, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": None}, "learning_rate"),
        ({"micro_batch_size": 0}, "micro_batch_size"),
        ({"method": "qlora"}, "method"),
        ({"max_steps": None}, "max_steps"),
        ({"lora": {"r": 2.5}}, "lora.r"),
        ({"lora": {"target_modules": ["nowhere"]}}, "lora.target_modules"),
        ({"train_file": "/nowhere/train.safetensors"}, "train_file"),
    ],
)
def test_a_wrong_field_is_named(training, changes, field):
    with pytest.raises(StageFailure) as caught:
        support.run("train", training(**changes))
    assert (caught.value.kind, caught.value.code) == ("permanent", "invalid_spec")
    assert f"'{field}'" in caught.value.message and caught.value.details["field"] == field


def test_a_misspelt_field_is_warned_about(training):
    recorder = support.Recorder()
    support.run("train", training(max_steps=1, learnin_rate=1), recorder)
    assert "learnin_rate" in recorder.of("warning")[0]["message"]


def test_saved_files_are_whole(training, tmp_path):
    support.run("train", training(max_steps=1))
    for path in (tmp_path / "out").rglob("*.safetensors"):
        assert read_header(str(path))
