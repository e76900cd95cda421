"""What the tests share: a tiny model made here, recorded events, commands run in and out of process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from martlet_stages.__main__ import COMMANDS
from martlet_stages.events import finite
from martlet_stages.runtime import StopRequest
from martlet_stages.spec import Spec

ROOT = Path(__file__).resolve().parent.parent

TEMPLATE = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


def make_tokenizer():
    """Byte-level, without merges: 256 bytes and three special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(directory: Path, seed: int = 0, **changes) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    shape = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "tie_word_embeddings": True, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "initializer_range": 0.2,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**shape, **changes}))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_tinyllama(directory: Path, device: str = "cpu") -> Path:
    """TinyLlama-1.1B's exact architecture, with random weights in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    config = LlamaConfig(
        hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
        vocab_size=32000, max_position_embeddings=2048, rope_theta=10000.0, rms_norm_eps=1e-5,
        tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_100_048_384
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


WORDS = (
    "buffer overflow input query string pointer memory heap stack race lock token secret key hash salt cookie session "
    "header path file upload parser schema cache proxy log audit role user admin sandbox kernel driver socket packet"
).split()


def make_records(path: Path, sources: int = 24, per_source: int = 3, boilerplate: bool = True) -> Path:
    """Records of several sources, with boilerplate answers that would leak through a split by source."""
    import random

    generator = random.Random(5)
    with open(path, "w", encoding="utf-8") as file:
        for source in range(sources):
            for index in range(per_source):
                answer = " ".join(generator.sample(WORDS, 9)) + f" case {source}."
                if boilerplate and index == 2:
                    answer = "Validate every input before it is used by the program."
                row = {
                    "id": f"S-{source}/{index}", "source_id": f"S-{source}", "answer": answer,
                    "question": f"What about {' '.join(generator.sample(WORDS, 3))} number {source}-{index}?",
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    return path


class Recorder:
    """Stands where the event stream stands and keeps what was said."""

    def __init__(self, hook=None):
        self.events: list[dict] = []
        self._hook = hook

    def emit(self, event, **fields):
        record = finite({"event": event, **fields})
        json.dumps(record, allow_nan=False)
        self.events.append(record)
        if self._hook:
            self._hook(record)

    def progress(self, step, total, message=None, **fields):
        self.emit("progress", step=step, total_steps=total, message=message, **fields)

    def warning(self, message, **fields):
        self.emit("warning", message=message, **fields)

    def of(self, kind):
        return [event for event in self.events if event["event"] == kind]


def run(command: str, spec: dict, recorder: Recorder | None = None, stop: StopRequest | None = None) -> dict:
    """Runs a command in this process."""
    module = importlib.import_module(f"martlet_stages.{COMMANDS[command]}")
    loaded = Spec(json.loads(json.dumps({"threads": 1, **spec}, default=str)))
    return module.run(loaded, recorder or Recorder(), stop or StopRequest())


def start(command: str, spec: dict, folder: Path) -> subprocess.Popen:
    """Runs a command as the worker does: a process of its own, in the folder."""
    path = folder / f"{command}.spec.json"
    path.write_text(json.dumps({"threads": 1, **spec}, default=str))
    return subprocess.Popen(
        [sys.executable, "-m", "martlet_stages", command, "--spec", str(path)],
        cwd=folder, stdout=subprocess.PIPE, stderr=open(folder / f"{command}.log", "wb"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        bufsize=0,  # Who reads some lines and then has finish() read the rest loses what a buffer holds between the two.
    )  # fmt: skip


def finish(process: subprocess.Popen, timeout: float = 240) -> tuple[int, list[dict]]:
    """The exit code, and the events: every line of standard output must be one."""
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, [json.loads(line) for line in output.decode().splitlines()]
