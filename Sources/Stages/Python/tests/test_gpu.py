"""The stages on one NVIDIA GPU, in bfloat16: what they do on a CPU, and what only a GPU can refuse.

Where no GPU answers, every test here fails: whoever asks for them wants to know.
"""

import gc
import json
import math
import os
import subprocess
import sys

import pytest
import support
import torch

from martlet_stages import evaluate as evaluate_module
from martlet_stages import train as train_module
from martlet_stages.columns import Columns
from martlet_stages.generate import generate
from martlet_stages.model import load_model
from martlet_stages.safefiles import read_header

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")
CUDA = torch.device("cuda")

# Relative differences of losses that are allowed. bfloat16 keeps eight bits, about 0.4 percent of each product, and
# a loss is a mean over thousands of them.
AFTER_RESUME = 1e-3
OTHER_MICRO_BATCH = 5e-3
FLOAT32_ON_BOTH = 5e-4
BFLOAT16_AGAINST_FLOAT32 = 5e-3

GIB = 1 << 30


@pytest.fixture(scope="module", autouse=True)
def gpu():
    if not torch.cuda.is_available():
        pytest.fail(
            f"no NVIDIA GPU answers: torch {torch.__version__} is built for CUDA {torch.version.cuda}, and "
            "torch.cuda.is_available() is false; see what nvidia-smi says, or leave out -m gpu", pytrace=False
        )  # fmt: skip
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.fail(f"{torch.cuda.get_device_name()} has no bfloat16; these tests need one that has", pytrace=False)
    free, total = torch.cuda.mem_get_info()
    print(f"{torch.cuda.get_device_name()}: {free / GIB:.1f} of {total / GIB:.1f} GiB free, torch {torch.__version__}")


@pytest.fixture(autouse=True)
def freed():
    """What a test leaves in this process's allocator would be missing in the next one's processes."""
    yield
    gc.collect()
    torch.cuda.empty_cache()


@pytest.fixture(scope="module")
def tinyllama(gpu, tmp_path_factory):
    """The folder of the model, and the output of preprocess for it."""
    folder = tmp_path_factory.mktemp("tinyllama")
    base = support.make_tinyllama(folder / "base", "cuda")
    return base, preprocess(folder, base, sources=60, max_length=512)


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    """A model of 90 million parameters whose activations are most of what a step needs."""
    folder = tmp_path_factory.mktemp("medium")
    base = support.make_model(
        folder / "base", hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
        num_key_value_heads=4, max_position_embeddings=1024, initializer_range=0.02,
    )  # fmt: skip
    return base, preprocess(folder, base, sources=120, max_length=1024)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model that a CPU trains in seconds, with heads of the size that GPU kernels are made for."""
    folder = tmp_path_factory.mktemp("small")
    base = support.make_model(
        folder / "base", hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.05,
    )  # fmt: skip
    return base, preprocess(folder, base, sources=24, max_length=256)


def preprocess(folder, base, sources, max_length):
    records = support.make_records(folder / "records.jsonl", sources=sources, boilerplate=False)
    support.run("preprocess", {
        "dataset": {"files": [str(records)]}, "base_model_dir": base, "output_dir": folder / "data",
        "max_length": max_length, "eval_fraction": 0.25, "seed": 3,
    })  # fmt: skip
    return folder / "data"


def training(model, folder, **changes):
    base, data = model
    return {
        "base_model_dir": base, "train_file": data / "train.safetensors", "output_dir": folder / "out",
        "checkpoint_dir": folder / "checkpoints", "method": "lora", "lora": {"r": 8, "alpha": 16}, "warmup_ratio": 0,
        "schedule": "constant", "learning_rate": 1e-3, "seed": 11, "threads": 4, **changes,
    }  # fmt: skip


def evaluation(model, folder, models, **changes):
    _, data = model
    return {
        "models": models, "eval_file": data / "eval.safetensors", "eval_jsonl": data / "eval.jsonl",
        "train_file_for_copy_check": data / "train.jsonl", "output_dir": folder / "evaluation", "threads": 4,
        "generation": {"samples": 8, "max_new_tokens": 16, "batch_size": 8, "seed": 1}, **changes,
    }  # fmt: skip


def losses(folder):
    return [point["loss"] for point in json.loads((folder / "out" / "training.json").read_text())["curve"]]


def farthest(left, right):
    """The largest relative difference between two curves of equal length."""
    return max(abs(a - b) / abs(b) for a, b in zip(left, right, strict=True))


# The command as the worker starts it, in a process that may have no more than a share of the GPU.
LIMITED = (
    "import sys\n"
    "import torch\n"
    "from martlet_stages.__main__ import main\n"
    "torch.cuda.set_per_process_memory_fraction(float(sys.argv[1]))\n"
    "sys.exit(main(['train', '--spec', sys.argv[2]]))\n"
)


def train(spec, folder, limit=None):
    """Trains in a process of its own, with at most ``limit`` bytes of the GPU: its exit code and its events."""
    folder.mkdir(exist_ok=True)
    if limit is None:
        process = support.start("train", spec, folder)
    else:
        path = folder / "train.spec.json"
        path.write_text(json.dumps(spec, default=str))
        process = subprocess.Popen(
            [sys.executable, "-c", LIMITED, str(limit / torch.cuda.mem_get_info()[1]), str(path)], cwd=folder,
            stdout=subprocess.PIPE, stderr=open(folder / "train.log", "wb"),
            env={**os.environ, "PYTHONPATH": str(support.ROOT)},
        )  # fmt: skip
    code, events = support.finish(process)
    print(f"{folder.name}: exit code {code}; {json.dumps(events[-1]) if events else 'no event'}")
    if not events or events[-1]["event"] != "result":
        print((folder / "train.log").read_text()[-4000:])
    return code, events


def result(ending):
    code, events = ending
    assert code == 0 and events[-1]["event"] == "result", events[-1:]
    return events[-1]["output"]


def refusal(ending):
    """The error event of a training that ran out of memory, in the class that the worker retries with half."""
    code, events = ending
    error = events[-1]
    assert code == 1 and error["event"] == "error", error
    assert (error["class"], error["code"]) == ("resource", "out_of_memory"), error
    return error


def halved(spec):
    """What the worker changes for its one retry (TrainHandler.halve)."""
    half = spec["micro_batch_size"] // 2
    return {**spec, "micro_batch_size": half, "gradient_accumulation_steps": 2 * spec["gradient_accumulation_steps"]}


def assert_on_gpu(output):
    assert output["device"].startswith("cuda") and output["dtype"] == "bfloat16"


def test_tinyllama_goes_through_train_merge_and_evaluate(tinyllama, tmp_path):
    base, _ = tinyllama
    trained = support.run("train", training(tinyllama, tmp_path, max_steps=8, micro_batch_size=4))
    assert_on_gpu(trained)
    assert trained["device_name"] == torch.cuda.get_device_name() and trained["peak_device_bytes"] > 2 * GIB
    assert trained["steps"] == 8 and trained["diverged_at_step"] is None
    curve = losses(tmp_path)
    # Random weights know nothing: the first loss is near log(32000).
    assert curve[0] == pytest.approx(math.log(32000), abs=1.0)
    assert curve[-1] < 0.95 * curve[0]
    adapter = read_header(str(tmp_path / "out" / "adapter" / "adapter_model.safetensors"))
    merged = read_header(str(tmp_path / "out" / "merged" / "model.safetensors"))
    assert any("lora_A" in name for name in adapter) and not any("lora" in name for name in merged)
    assert len(merged) >= 9 * 22
    assert all(path.suffix not in (".bin", ".pt", ".pth", ".pkl") for path in (tmp_path / "out").rglob("*"))

    output = support.run("evaluate", evaluation(tinyllama, tmp_path, {
        "candidate": tmp_path / "out" / "merged", "base": base,
    }))  # fmt: skip
    assert_on_gpu(output)
    for role in ("candidate", "base"):
        assert output["results"][role]["nonfinite"] == []
        assert all(math.isfinite(value) for value in output["results"][role]["metrics"].values())
    candidate, before = (output["results"][role]["metrics"] for role in ("candidate", "base"))
    assert candidate["loss"] < 0.95 * before["loss"]
    names = ("training_seconds", "tokens_per_second", "peak_device_bytes", "seconds")
    print(json.dumps({**{name: trained[name] for name in names}, "evaluation_seconds": output["seconds"], "curve": curve,
                      "loss": [before["loss"], candidate["loss"]], "new_tokens_per_second":
                      candidate["generation_tokens_per_second"]}))  # fmt: skip


def test_tinyllama_is_fine_tuned_in_full(tinyllama, tmp_path):
    trained = support.run("train", training(
        tinyllama, tmp_path, method="full", max_steps=4, micro_batch_size=4, learning_rate=1e-4,
    ))  # fmt: skip
    assert_on_gpu(trained)
    assert trained["trained_parameters"] == 1_100_048_384 and trained["adapter_dir"] is None
    curve = losses(tmp_path)
    assert curve[-1] < 0.95 * curve[0]
    assert read_header(str(tmp_path / "out" / "merged" / "model.safetensors"))
    print(json.dumps({name: trained[name] for name in ("tokens_per_second", "peak_device_bytes", "seconds")}), curve)


def test_a_gpu_that_another_process_has_filled_is_reported_while_loading(tinyllama, tmp_path):
    # 2 GiB are left, the weights alone are 2.05.
    code = (
        "import sys\n"
        "import torch\n"
        "torch.zeros(1, device='cuda')\n"
        "ballast = torch.empty(torch.cuda.mem_get_info()[0] - (2 << 30), dtype=torch.uint8, device='cuda')\n"
        "print('filled', flush=True)\n"
        "sys.stdin.read()\n"
    )
    ballast = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert ballast.stdout.readline() == b"filled\n"
        spec = training(tinyllama, tmp_path, max_steps=1, micro_batch_size=1)
        error = refusal(train(spec, tmp_path / "full"))
    finally:
        ballast.communicate(timeout=60)
    assert error["details"]["phase"] == "loading the model" and error["details"]["bytes_free"] < 2 * GIB
    assert "MiB free" in error["message"]


@pytest.fixture(scope="module")
def whole(medium, tmp_path_factory):
    """A training of 3 steps on the whole GPU, with a checkpoint after each: its specification, folder and output."""
    folder = tmp_path_factory.mktemp("whole")
    spec = training(medium, folder, max_steps=3, micro_batch_size=16, gradient_accumulation_steps=1)
    return spec, folder, result(train({**spec, "checkpoint_every_steps": 1}, folder))


def test_a_micro_batch_that_does_not_fit_goes_on_with_half_of_it(whole, tmp_path):
    spec, folder, output = whole
    assert_on_gpu(output)
    limit = output["peak_device_bytes"] * 3 // 4
    here = {
        **spec, "output_dir": tmp_path / "first-out", "checkpoint_dir": tmp_path / "checkpoints",
        "resume_from": folder / "checkpoints" / "step-00000001",
    }  # fmt: skip
    error = refusal(train(here, tmp_path / "first", limit))
    details = error["details"]
    assert (details["micro_batch_size"], details["gradient_accumulation_steps"], details["step"]) == (16, 1, 1)
    assert 0 < details["sequence_length"] <= 1024
    # The allocator's message has two decimals of a GiB.
    assert details["device_bytes"] == pytest.approx(limit, abs=GIB // 64)
    assert 0 <= details["bytes_free"] < details["bytes_asked"] + GIB // 16
    assert details["peak_device_bytes"] <= limit
    assert f"asked for {details['bytes_asked'] / 2**20:.0f} MiB more" in error["message"]
    assert "micro_batch_size 16" in error["message"]

    retry = {**halved(here), "output_dir": tmp_path / "second" / "out"}
    half = result(train(retry, tmp_path / "second", limit))
    assert_on_gpu(half)
    assert half["resumed_from_step"] == 1 and half["steps"] == 3
    assert half["peak_device_bytes"] < limit < output["peak_device_bytes"]
    apart = farthest(losses(tmp_path / "second"), losses(folder))
    print(f"bytes at the peak: {output['peak_device_bytes']} with 16, {half['peak_device_bytes']} with 8; {apart=}")
    assert apart < OTHER_MICRO_BATCH


def test_a_micro_batch_of_which_half_does_not_fit_either_ends_as_out_of_memory(whole, tmp_path):
    spec, _, output = whole
    limit = output["peak_device_bytes"] // 4
    first = {**spec, "output_dir": tmp_path / "first-out", "checkpoint_dir": tmp_path / "checkpoints"}
    assert refusal(train(first, tmp_path / "first", limit))["details"]["micro_batch_size"] == 16
    second = {**halved(first), "output_dir": tmp_path / "second-out"}
    details = refusal(train(second, tmp_path / "second", limit))["details"]
    assert (details["micro_batch_size"], details["gradient_accumulation_steps"], details["step"]) == (8, 2, 0)
    assert not (tmp_path / "second-out" / "merged").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_resumed_in_a_new_process_has_the_curve_of_the_uninterrupted_one(small, tmp_path, method):
    # With dropout, so that the GPU's random numbers count.
    spec = training(
        small, tmp_path / "whole", method=method, lora={"r": 8, "alpha": 16, "dropout": 0.1}, max_steps=12,
        micro_batch_size=2, gradient_accumulation_steps=2, warmup_ratio=0.2, schedule="cosine",
    )  # fmt: skip
    output = result(train({**spec, "checkpoint_every_steps": 5}, tmp_path / "whole"))
    assert_on_gpu(output)
    resumed = result(train({
        **spec, "output_dir": tmp_path / "resumed" / "out", "checkpoint_dir": tmp_path / "resumed" / "checkpoints",
        "resume_from": tmp_path / "whole" / "checkpoints" / "step-00000005",
    }, tmp_path / "resumed"))  # fmt: skip
    assert_on_gpu(resumed)
    assert resumed["resumed_from_step"] == 5 and resumed["steps"] == 12
    before, after = losses(tmp_path / "whole"), losses(tmp_path / "resumed")
    assert len(after) == 12 and after[:5] == before[:5]
    apart = farthest(after, before)
    print(f"{method}: the curves are apart by at most {apart}")
    assert apart < AFTER_RESUME
    assert after[-1] < before[0]


def test_losses_on_gpu_and_cpu_agree(small, tmp_path, monkeypatch):
    """The same few steps and the same evaluation on both, without dropout, whose random numbers differ."""
    curves, evaluated = {}, {}
    for device, dtype in ((CPU, "float32"), (CUDA, "float32"), (CPU, "bfloat16"), (CUDA, "bfloat16")):
        name = f"{device.type}-{dtype}"
        folder = tmp_path / name
        for module in (train_module, evaluate_module):
            monkeypatch.setattr(module, "choose_device", lambda device=device: device)
        trained = support.run("train", training(
            small, folder, dtype=dtype, max_steps=6, micro_batch_size=2, gradient_accumulation_steps=2,
        ))  # fmt: skip
        # The base is evaluated, so that only one stage's differences are seen at a time.
        output = support.run("evaluate", evaluation(small, folder, {"candidate": small[0]}, dtype=dtype))
        for stage in (trained, output):
            assert (stage["device"], stage["dtype"]) == (device.type, dtype)
        curves[name] = losses(folder)
        evaluated[name] = output["results"]["candidate"]["metrics"]["loss"]
    reference = "cpu-float32"
    for name, limit in (("cuda-float32", FLOAT32_ON_BOTH), ("cpu-bfloat16", BFLOAT16_AGAINST_FLOAT32),
                        ("cuda-bfloat16", BFLOAT16_AGAINST_FLOAT32)):  # fmt: skip
        apart = farthest(curves[name], curves[reference])
        scored = farthest([evaluated[name]], [evaluated[reference]])
        print(f"{name} against {reference}: training apart by at most {apart}, evaluation by {scored}")
        assert apart < limit and scored < limit
    assert farthest(curves["cuda-bfloat16"], curves["cpu-bfloat16"]) < BFLOAT16_AGAINST_FLOAT32
    assert all(curve[-1] < curve[0] for curve in curves.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_padding_on_the_left_does_not_reach_the_real_tokens(small, dtype):
    base, data = small
    model = load_model(str(base), CUDA, dtype).eval()
    columns = Columns(str(data / "eval.safetensors"))
    ids = torch.tensor(columns.example(0)[0][:24], dtype=torch.long, device=CUDA)[None]
    padded = torch.cat([torch.zeros(1, 40, dtype=torch.long, device=CUDA), ids], dim=1)
    mask = (torch.arange(64, device=CUDA) >= 40).long()[None]
    with torch.inference_mode():
        alone = model(input_ids=ids).logits[0].float()
        behind = model(
            input_ids=torch.cat([padded, padded.flip(1)]), attention_mask=torch.cat([mask, torch.ones_like(mask)]),
            position_ids=(torch.cat([mask, torch.ones_like(mask)]).cumsum(1) - 1).clamp(min=0),
        ).logits.float()  # fmt: skip
    assert torch.isfinite(behind).all()
    tolerance = 1e-3 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(behind[0, 40:], alone, rtol=tolerance, atol=tolerance * float(alone.abs().max()))


def test_answers_on_gpu_are_those_of_the_cpu(small):
    """In float32, where no two tokens are as likely as each other; prompts of unlike lengths share a batch."""
    base, data = small
    columns = Columns(str(data / "eval.safetensors"))
    prompts = [columns.example(i)[0][: int(columns.prompt_length[i])] for i in range(6)]
    prompts = [prompt[index:] for index, prompt in enumerate(prompts)]
    answers = []
    for device in (CPU, CUDA):
        model = load_model(str(base), device, torch.float32)
        ends = {model.config.eos_token_id}
        answers.append(generate(model, prompts, 16, 6, model.config.pad_token_id, ends, device, lambda done: None).answers)
    assert answers[0] == answers[1]
