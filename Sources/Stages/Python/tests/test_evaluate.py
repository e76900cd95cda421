import json
import math

import numpy
import pytest
import support
import torch

from martlet_stages.columns import Columns
from martlet_stages.copies import CopyIndex
from martlet_stages.failures import Released, StageFailure
from martlet_stages.generate import generate
from martlet_stages.model import load_model
from martlet_stages.runtime import StopRequest

CPU = torch.device("cpu")


@pytest.fixture
def evaluation(base, prepared, tmp_path):
    def spec(name="out", **changes):
        return {
            "models": {"candidate": base}, "eval_file": prepared / "eval.safetensors",
            "eval_jsonl": prepared / "eval.jsonl", "train_file_for_copy_check": prepared / "train.jsonl",
            "output_dir": tmp_path / name, "dtype": "float32",
            "generation": {"samples": 5, "max_new_tokens": 8, "batch_size": 3, "seed": 1}, **changes,
        }  # fmt: skip

    return spec


def test_metrics_equal_a_plain_computation(evaluation, base, prepared, tmp_path):
    result = support.run("evaluate", evaluation())["results"]["candidate"]
    model = load_model(str(base), CPU, torch.float32)
    columns = Columns(str(prepared / "eval.safetensors"))
    loss = tokens = right = 0
    for example in range(columns.examples):
        ids, mask = columns.example(example)
        ids = torch.tensor(ids, dtype=torch.long)
        wanted = torch.tensor(mask[1:], dtype=torch.bool)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, :-1][wanted]
        targets = ids[1:][wanted]
        loss += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        right += int((logits.argmax(1) == targets).sum())
        tokens += len(targets)
    metrics = result["metrics"]
    assert metrics["loss"] == pytest.approx(loss / tokens, rel=1e-4)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss / tokens), rel=1e-3)
    assert metrics["token_accuracy"] == pytest.approx(right / tokens, abs=1e-6)
    assert result["counts"]["scored_rows"] == columns.examples
    low, high = result["intervals"]["loss"]
    assert low <= metrics["loss"] <= high
    rows = [json.loads(line) for line in open(tmp_path / "out" / "examples-candidate.jsonl")]
    assert sum(row["loss_sum"] for row in rows) / sum(row["answer_tokens"] for row in rows) == pytest.approx(
        metrics["loss"]
    )
    generated = [row for row in rows if "generated" in row]
    assert len(generated) == 5
    assert numpy.mean([row["token_f1"] for row in generated]) == pytest.approx(metrics["token_f1"])
    assert numpy.mean([row["truncated"] for row in generated]) == pytest.approx(metrics["truncated_rate"])


def test_batched_generation_equals_one_prompt_at_a_time(base, prepared):
    model = load_model(str(base), CPU, torch.float32)
    columns = Columns(str(prepared / "eval.safetensors"))
    prompts = [columns.example(i)[0][: int(columns.prompt_length[i])] for i in range(4)]
    ends = {model.config.eos_token_id}
    batched = generate(model, prompts, 12, 4, 0, ends, CPU, lambda done: None)
    for prompt, answer in zip(prompts, batched.answers, strict=True):
        ids = torch.tensor(prompt, dtype=torch.long)[None]
        expected = []
        with torch.no_grad():
            for _ in range(12):
                token = int(model(input_ids=ids).logits[0, -1].argmax())
                if token in ends:
                    break
                expected.append(token)
                ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        assert answer.tokens == expected
        assert answer.finished == (len(expected) < 12)


def test_two_runs_give_the_same_metrics(evaluation):
    first, second = (support.run("evaluate", evaluation(name))["results"]["candidate"] for name in "ab")
    for result in (first, second):
        result["metrics"].pop("generation_tokens_per_second")
    assert first["metrics"] == second["metrics"] and first["intervals"] == second["intervals"]


def test_cached_results_are_reused_only_for_the_same_suite_and_weights(evaluation, base, tmp_path):
    support.run("evaluate", evaluation("first", models={"candidate": base, "base": base}))
    cached = {"base": tmp_path / "first" / "results-base.json"}
    output = support.run("evaluate", evaluation("second", models={"candidate": base, "base": base}, cached=cached))
    assert output["results"]["base"]["cached"] is True
    assert list(output["example_files"]) == ["candidate"]
    examples = {"base": tmp_path / "first" / "examples-base.jsonl"}
    spec = evaluation("again", models={"candidate": base, "base": base}, cached=cached, cached_examples=examples)
    kept = support.run("evaluate", spec)["example_files"]
    assert sorted(kept) == ["base", "candidate"]
    assert (tmp_path / "again" / kept["base"]).read_bytes() == examples["base"].read_bytes()
    assert output["comparison"]["base"]["perplexity_drop"] == pytest.approx(0)
    # Without the model folder as well, as the worker need not fetch it.
    assert support.run("evaluate", evaluation("third", cached=cached))["results"]["base"]["cached"] is True

    other = support.make_model(tmp_path / "other", seed=9)
    recorder = support.Recorder()
    spec = evaluation("fourth", models={"candidate": base, "base": other}, cached=cached)
    assert "cached" not in support.run("evaluate", spec, recorder)["results"]["base"]
    assert "other weights" in recorder.of("warning")[0]["message"]
    with pytest.raises(StageFailure, match="other parameters"):
        support.run("evaluate", evaluation("fifth", cached=cached, max_loss_rows=2))


def test_broken_weights_give_nulls_that_are_named(evaluation, base, tmp_path):
    from safetensors.torch import load_file, save_file

    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], math.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    recorder = support.Recorder()
    result = support.run("evaluate", evaluation(models={"candidate": broken}), recorder)["results"]["candidate"]
    assert result["metrics"]["loss"] is None and result["metrics"]["perplexity"] is None
    assert {"loss", "perplexity"} <= set(result["nonfinite"])
    json.dumps(recorder.events, allow_nan=False)


def test_a_model_that_cuts_text_otherwise_is_not_compared(evaluation, base, tmp_path):
    import json as json_module
    import shutil

    other = tmp_path / "other"
    shutil.copytree(base, other)
    tokenizer = json_module.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json_module.dumps(tokenizer))
    recorder = support.Recorder()
    output = support.run("evaluate", evaluation(models={"candidate": base, "champion": other}), recorder)
    assert output["results"]["champion"]["metrics"] == {}
    assert "another vocabulary" in output["results"]["champion"]["incomparable"]
    assert "champion" not in output["comparison"]


def test_a_stop_request_releases_between_batches(evaluation):
    stop = StopRequest()
    stop.requested = True
    with pytest.raises(Released):
        support.run("evaluate", evaluation(), stop=stop)


def test_weights_that_would_be_unpickled_are_refused(evaluation, base, tmp_path):
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(base, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StageFailure, match="never read") as caught:
        support.run("evaluate", evaluation(models={"candidate": folder}))
    assert (caught.value.kind, caught.value.code) == ("permanent", "unsafe_weights")


def test_copies_of_training_answers_are_found(tmp_path):
    path = tmp_path / "train.jsonl"
    long = " ".join(f"w{number}" for number in range(40))
    path.write_text(json.dumps({"answer": "Short one."}) + "\n" + json.dumps({"answer": long}) + "\n")
    index = CopyIndex(str(path), 10)
    assert index.copied("  short ONE ")
    assert index.copied("before " + " ".join(f"w{number}" for number in range(7, 17)) + " after")
    assert not index.copied("before " + " ".join(f"w{number}" for number in range(7, 16)) + " after")
    assert not index.copied("")


def test_a_file_of_answers_that_is_none_is_refused_at_its_line(tmp_path):
    path = tmp_path / "train.safetensors"
    path.write_bytes(b'{"answer": "Short one."}\n\x80\x04 tensors\n')
    with pytest.raises(StageFailure, match="train.safetensors:2") as caught:
        CopyIndex(str(path), 10)
    assert (caught.value.kind, caught.value.code) == ("permanent", "invalid_record")
