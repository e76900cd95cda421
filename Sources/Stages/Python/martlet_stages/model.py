"""Loading models and computing the loss on packed rows."""

from __future__ import annotations

import os

import numpy
import torch

from . import attention
from .columns import Row
from .failures import permanent
from .safefiles import read_header, weight_files


def load_model(directory: str, device: torch.device, dtype: torch.dtype):
    """A causal language model from a safetensors folder; anything that would need unpickling is refused."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    attention.register()
    for name in weight_files(directory):
        read_header(os.path.join(directory, name))
    try:
        grouped = AutoConfig.from_pretrained(directory, local_files_only=True).model_type in attention.MODEL_TYPES
        model = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=dtype,
            attn_implementation=attention.NAME if grouped else "sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno == 12:
            raise
        raise permanent("invalid_model", f"{directory} does not load: {error}", directory=directory) from error
    return model.to(device)


def load_tokenizer(directory: str):
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise permanent("invalid_model", f"{directory} has no usable tokenizer: {error}", directory=directory) from error


class Batch:
    """Rows with what attention and loss need, on the device, in one of two layouts.

    Flat, for models whose attention can be grouped: all rows one after another, no padding, and a
    :class:`attention.Grouping`. Padded, for any other: rows of the longest one's length, and a mask of
    [rows, 1, length, length] that is true where a token may look, at itself and at earlier tokens of its own
    example.

    targets: the tokens to predict, the answer tokens. target_positions: the flat positions just before them.
    target_segments: the examples they belong to.
    """

    def __init__(self, rows: list[Row], pad: int, device: torch.device, flat: bool):
        if flat:
            parts = [_join([row.ids for row in rows]), _join([row.positions for row in rows]),
                     _join([row.segments for row in rows]), _join([row.mask for row in rows])]  # fmt: skip
            ids, positions, segments, mask = (part[None] for part in parts)
        else:
            ids, positions, segments, mask = _padded(rows, pad)
        ids = ids.astype(numpy.int64)
        # The first token of an example is never a target: what precedes it belongs to another.
        wanted = (mask[:, 1:] != 0) & (segments[:, 1:] == segments[:, :-1])
        line, column = numpy.nonzero(wanted)
        self.tokens = int((segments >= 0).sum())
        self.ids = torch.from_numpy(ids).to(device)
        self.positions = torch.from_numpy(positions.astype(numpy.int64)).to(device)
        self.target_positions = torch.from_numpy(line * ids.shape[1] + column).to(device)
        self.targets = torch.from_numpy(ids[line, column + 1]).to(device)
        self.target_segments = segments[line, column]
        if flat:
            starts = numpy.flatnonzero(positions[0] == 0)
            lengths = numpy.diff(numpy.append(starts, ids.shape[1])).tolist()
            # A ready-made mask of four dimensions keeps Transformers from building one; it is never read.
            self.attention = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
            self.options = {"grouping": attention.Grouping(lengths, device)}
        else:
            spans = torch.from_numpy(segments).to(device)
            causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=device).tril()
            self.attention = ((spans[:, :, None] == spans[:, None, :]) & causal)[:, None]
            self.options = {}

    @property
    def target_count(self) -> int:
        return len(self.target_segments)


def _join(parts: list[numpy.ndarray]) -> numpy.ndarray:
    return parts[0] if len(parts) == 1 else numpy.concatenate(parts)


def _padded(rows: list[Row], pad: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids = numpy.full(shape, pad, numpy.int64)
    positions = numpy.zeros(shape, numpy.int64)
    # Padding is a segment of its own: its tokens look at each other, so no row of attention is empty.
    segments = numpy.full(shape, -1, numpy.int64)
    mask = numpy.zeros(shape, numpy.uint8)
    for index, row in enumerate(rows):
        end = len(row.ids)
        ids[index, :end] = row.ids
        positions[index, :end] = row.positions
        segments[index, :end] = row.segments
        mask[index, :end] = row.mask
    return ids, positions, segments, mask


def is_flat(model) -> bool:
    return model.config._attn_implementation == attention.NAME


def hidden_at_targets(model, batch: Batch) -> torch.Tensor:
    """The last hidden states that predict an answer token: [targets, hidden]. The output layer, a fifth of a
    small model's work, then runs on these alone."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.get_decoder()(
        input_ids=batch.ids, attention_mask=batch.attention, position_ids=batch.positions, use_cache=False,
        **batch.options,
    ).last_hidden_state  # fmt: skip
    return hidden.reshape(-1, hidden.shape[-1]).index_select(0, batch.target_positions)


def output_weight(model) -> torch.Tensor:
    return model.get_output_embeddings().weight


class SummedCrossEntropy(torch.autograd.Function):
    """The sum of -log p(target) through the output layer, in chunks.

    The logits of a 49,152-word vocabulary would be the largest tensor of the step by far; here only one
    chunk of them exists at a time, and the gradient is formed while it does.
    """

    CHUNK = 256

    @staticmethod
    def forward(context, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        needs_hidden, needs_weight, _ = context.needs_input_grad
        hidden_grad = torch.empty_like(hidden) if needs_hidden else None
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        for start in range(0, len(targets), SummedCrossEntropy.CHUNK):
            part = hidden[start : start + SummedCrossEntropy.CHUNK]
            wanted = targets[start : start + SummedCrossEntropy.CHUNK, None]
            logits = (part @ weight.T).float()
            scale = torch.logsumexp(logits, dim=1, keepdim=True)
            total += (scale - logits.gather(1, wanted)).sum()
            if not needs_hidden and not needs_weight:
                continue
            # d loss / d logits = softmax - one-hot
            gradient = logits.sub_(scale).exp_()
            gradient.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=gradient.dtype))
            gradient = gradient.to(hidden.dtype)
            if hidden_grad is not None:
                hidden_grad[start : start + SummedCrossEntropy.CHUNK] = gradient @ weight
            if weight_grad is not None:
                weight_grad += (gradient.T @ part).float()
        context.save_for_backward(hidden_grad, weight_grad)
        context.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(context, gradient: torch.Tensor):
        hidden_grad, weight_grad = context.saved_tensors
        return (
            None if hidden_grad is None else hidden_grad * gradient.to(hidden_grad.dtype),
            None if weight_grad is None else (weight_grad * gradient).to(context.weight_dtype),
            None,
        )


def summed_loss(model, batch: Batch) -> torch.Tensor:
    """The loss of the batch's answer tokens, summed (float32), with gradients."""
    return SummedCrossEntropy.apply(hidden_at_targets(model, batch), output_weight(model), batch.targets)
