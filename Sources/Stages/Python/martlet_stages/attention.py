"""Attention over packed rows whose cost follows the examples' lengths, not the row's.

A packed row of 512 tokens holds about six examples that must not see each other. Masking the full square
computes six times too much; here the tokens are regrouped into batches of examples of like length,
each attends causally within itself, and the results go back to their places.
"""

from __future__ import annotations

import numpy
import torch
import torch.nn.functional as functional

NAME = "martlet_packed"
# Plain causal attention without windows, sinks or soft caps: what the grouping below computes.
MODEL_TYPES = ("llama",)
# Tokens up to which plain products, which keep the square of scores for the way back, beat the blocked kernel.
_SHORT = 512


class Grouping:
    """Where each token of a flat row goes: ``index[slot]`` is the slot's token, ``inverse[token]`` its slot.

    Slots form blocks of [examples, length]; short examples end in padding, which repeats their last token.
    Attention is causal, so no real token ever sees padding, and no gradient comes from it.
    """

    def __init__(self, lengths: list[int], device: torch.device):
        starts = numpy.concatenate(([0], numpy.cumsum(lengths)[:-1]))
        buckets: dict[int, list[int]] = {}
        for example, length in enumerate(lengths):
            buckets.setdefault(_bucket(length), []).append(example)
        self.blocks: list[tuple[int, int]] = []
        index: list[numpy.ndarray] = []
        inverse = numpy.empty(sum(lengths), numpy.int64)
        offset = 0
        for bucket in sorted(buckets):
            examples = buckets[bucket]
            longest = max(lengths[example] for example in examples)
            for example in examples:
                length = lengths[example]
                index.append(starts[example] + numpy.minimum(numpy.arange(longest), length - 1))
                inverse[starts[example] : starts[example] + length] = offset + numpy.arange(length)
                offset += longest
            self.blocks.append((len(examples), longest))
        self.index = torch.from_numpy(numpy.concatenate(index)).to(device)
        self.inverse = torch.from_numpy(inverse).to(device)


def _bucket(length: int) -> int:
    """The step at or above the length, of 16, 24, 32, 48, 64, 96, 128 …: padding stays under a third."""
    step = 16
    while length > step:
        half = step * 3 // 2
        if length <= half:
            return half
        step *= 2
    return step


class _ToSlots(torch.autograd.Function):
    """Token rows to slot rows. Backwards each token takes its own slot's gradient; padding has none."""

    @staticmethod
    def forward(context, rows, index, inverse):
        context.save_for_backward(inverse)
        return rows.index_select(0, index)

    @staticmethod
    def backward(context, gradient):
        (inverse,) = context.saved_tensors
        return gradient.index_select(0, inverse), None, None


class _ToTokens(torch.autograd.Function):
    """Slot rows back to token rows; padding is left behind and gets a gradient of zero."""

    @staticmethod
    def forward(context, slots, inverse):
        context.save_for_backward(inverse)
        context.slots = slots.shape[0]
        return slots.index_select(0, inverse)

    @staticmethod
    def backward(context, gradient):
        (inverse,) = context.saved_tensors
        result = gradient.new_zeros((context.slots, *gradient.shape[1:]))
        return result.index_copy_(0, inverse, gradient.contiguous()), None


def packed_attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, grouping=None, **kwargs):
    """The attention function registered with Transformers: [1, heads, tokens, size] to [1, tokens, heads, size].

    Without a grouping (generation) it is Transformers' own scaled-dot-product attention.
    """
    if grouping is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    heads, shared = query.shape[1], key.shape[1]
    rows = torch.cat([part[0].transpose(0, 1) for part in (query, key, value)], dim=1)
    slots = _ToSlots.apply(rows, grouping.index, grouping.inverse)
    outputs = []
    for (count, length), block in zip(
        grouping.blocks, slots.split([count * length for count, length in grouping.blocks]), strict=True
    ):
        parts = block.view(count, length, heads + 2 * shared, -1).split([heads, shared, shared], dim=2)
        if block.device.type == "cpu" and length <= _SHORT and not dropout:
            result = _short(*parts, scaling or block.shape[-1] ** -0.5)
        else:
            q, k, v = (part.transpose(1, 2) for part in parts)
            result = functional.scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=heads != shared
            ).transpose(1, 2)
        outputs.append(result.reshape(count * length, heads, -1))
    return _ToTokens.apply(torch.cat(outputs), grouping.inverse)[None], None


def _short(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Causal attention by plain matrix products: [examples, length, heads, size] to the same.

    PyTorch's blocked CPU kernel spends three to five times as long on short sequences, nearly all of it backwards.
    Heads that share a key are stacked as rows of one product.
    """
    count, length, heads, size = q.shape
    shared = k.shape[2]
    group = heads // shared
    q = q.view(count, length, shared, group, size).permute(0, 2, 3, 1, 4)
    q = q.reshape(count * shared, group * length, size)
    k = k.permute(0, 2, 3, 1).reshape(count * shared, size, length)
    v = v.transpose(1, 2).reshape(count * shared, length, size)
    ahead = torch.full((length, length), -torch.inf, dtype=q.dtype, device=q.device).triu_(1).repeat(group, 1)
    weights = torch.baddbmm(ahead, q, k, alpha=scale).softmax(dim=-1)
    result = torch.bmm(weights, v).view(count, shared, group, length, size)
    return result.permute(0, 3, 1, 2, 4).reshape(count, length, heads, size)


def whole_mask(**arguments):
    """Transformers' mask for scaled-dot-product attention, in which no row is empty.

    Padding on the left sees nothing. Some CUDA kernels answer an empty row with NaN, which the next layer, as
    weight 0 times value NaN, hands on to the real tokens. Such a row sees everything here; nobody looks at it.
    """
    from transformers.masking_utils import sdpa_mask

    mask = sdpa_mask(**arguments)
    return mask if mask is None else mask | ~mask.any(dim=-1, keepdim=True)


def register() -> None:
    """Makes the function known to Transformers, with the masks of scaled-dot-product attention."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    for name in (NAME, "sdpa"):
        AttentionMaskInterface.register(name, whole_mask)
