"""Greedy generation in left-padded batches with a key-value cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch


@dataclass(frozen=True, slots=True)
class Generated:
    tokens: list[int]
    finished: bool
    """False when the answer was cut at the limit of new tokens."""


@dataclass(frozen=True, slots=True)
class Generation:
    answers: list[Generated]
    """In the order of the prompts."""
    seconds: float
    new_tokens: int


@torch.inference_mode()
def generate(model, prompts: list[numpy.ndarray], new_tokens: int, batch_size: int, pad: int, ends: set[int],
             device: torch.device, tick: Callable[[int], None]) -> Generation:  # fmt: skip
    """Continues every prompt by its likeliest tokens. Prompts of like length share a batch.

    ``tick(done)`` is called after every token with the number of prompts finished so far, and may raise.
    """
    model.eval()
    answers: list[Generated | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    started = time.monotonic()
    total = 0
    for start in range(0, len(order), batch_size):
        picked = order[start : start + batch_size]
        rows = _batch(model, [prompts[index] for index in picked], new_tokens, pad, ends, device, lambda: tick(start))
        for index, answer in zip(picked, rows, strict=True):
            answers[index] = answer
            total += len(answer.tokens) + answer.finished
    tick(len(order))
    return Generation([answer for answer in answers if answer is not None], time.monotonic() - started, total)


def _batch(model, prompts, new_tokens: int, pad: int, ends: set[int], device, tick) -> list[Generated]:
    from transformers import DynamicCache

    longest = max(len(prompt) for prompt in prompts)
    ids = numpy.full((len(prompts), longest), pad, numpy.int64)
    mask = numpy.zeros((len(prompts), longest), numpy.int64)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    tokens = torch.from_numpy(ids).to(device)
    attention = torch.from_numpy(mask).to(device)
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    ending = torch.tensor(sorted(ends), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    chosen: list[torch.Tensor] = []
    for _ in range(new_tokens):
        logits = model(
            input_ids=tokens, attention_mask=attention, position_ids=positions, past_key_values=cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
        # A model with broken weights yields NaN, whose argmax is any token: it is scored as whatever it says.
        best = logits.argmax(dim=1)
        best = torch.where(done, torch.full_like(best, pad), best)
        chosen.append(best)
        done = done | torch.isin(best, ending)
        tick()
        if bool(done.all()):
            break
        tokens = best[:, None]
        positions = positions[:, -1:] + 1
        attention = torch.cat([attention, attention.new_ones(len(prompts), 1)], dim=1)
    answers = []
    for row in torch.stack(chosen, dim=1).tolist():
        end = next((index for index, token in enumerate(row) if token in ends), None)
        answers.append(Generated(row[:end] if end is not None else row, end is not None))
    return answers
