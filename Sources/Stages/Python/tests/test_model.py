"""Packing must not change what is computed."""

import pytest
import torch

from martlet_stages import attention
from martlet_stages.columns import Columns
from martlet_stages.model import Batch, SummedCrossEntropy, load_model, summed_loss
from martlet_stages.scoring import packed_rows, score

CPU = torch.device("cpu")


@pytest.fixture
def model(base):
    return load_model(str(base), CPU, torch.float32)


@pytest.fixture
def columns(prepared):
    return Columns(str(prepared / "train.safetensors"))


def alone(model, columns, example):
    """The loss of one example by itself, computed by Transformers."""
    ids, mask = columns.example(example)
    tokens = torch.tensor(ids, dtype=torch.long)[None]
    labels = torch.where(torch.tensor(mask, dtype=torch.bool)[None], tokens, -100)
    logits = model(input_ids=tokens).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits[0], labels[0, 1:], ignore_index=-100, reduction="sum")


@pytest.mark.parametrize("flat", [True, False])
def test_packed_loss_and_gradient_equal_unpacked(model, columns, flat):
    rows = [columns.row(index) for index in range(min(3, columns.bins))]
    examples = int(columns.bin_offsets[len(rows)])
    assert examples > len(rows), "rows must hold several examples"
    weight = model.model.layers[0].self_attn.k_proj.weight
    packed = summed_loss(model, Batch(rows, 0, CPU, flat))
    packed.backward()
    gradient = weight.grad.clone()
    model.zero_grad()
    reference = sum(alone(model, columns, example) for example in range(examples))
    reference.backward()
    assert packed.item() == pytest.approx(reference.item(), rel=1e-5)
    # Different kernels: an element near zero is a difference of large ones.
    torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-5 * float(weight.grad.abs().max()))


def test_long_examples_take_the_blocked_kernel_to_the_same_result(model, columns, monkeypatch):
    batch = Batch([columns.row(0)], 0, CPU, True)
    short = summed_loss(model, batch).item()
    monkeypatch.setattr(attention, "_SHORT", 0)
    assert summed_loss(model, batch).item() == pytest.approx(short, rel=1e-5)


def test_scores_are_per_example(model, columns):
    some = [0, 2, columns.examples - 1]
    scores = score(model, packed_rows(columns, some, 256), columns.examples, 2, 0, CPU)
    for example in some:
        assert scores.loss[example] == pytest.approx(alone(model, columns, example).item(), rel=1e-4)
        assert scores.tokens[example] == columns.example(example)[1].sum()
    assert scores.tokens.sum() == sum(scores.tokens[example] for example in some)


def test_chunked_cross_entropy_equals_the_plain_one():
    torch.manual_seed(0)
    hidden = torch.randn(700, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(0, 50, (700,))
    ours = SummedCrossEntropy.apply(hidden, weight, targets)
    (ours / 7).backward()
    mine = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (plain / 7).backward()
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(mine[0], hidden.grad)
    torch.testing.assert_close(mine[1], weight.grad)


def test_columns_rebuild_positions_and_segments(columns):
    for index in range(columns.bins):
        row = columns.row(index)
        assert len(row.ids) <= 256
        for segment in set(row.segments.tolist()):
            positions = row.positions[row.segments == segment]
            assert positions.tolist() == list(range(len(positions)))


def test_a_mask_has_no_empty_row():
    """Padding on the left sees nothing; some GPU kernels make NaN of that."""
    seen = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.bool)
    mask = attention.whole_mask(batch_size=2, q_length=4, kv_length=4, attention_mask=seen)
    assert mask[0, 0].tolist() == [[True] * 4, [True] * 4, [False, False, True, False], [False, False, True, True]]
    assert torch.equal(mask[1, 0], torch.ones(4, 4, dtype=torch.bool).tril())


def test_every_model_gets_such_masks():
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    attention.register()
    for name in (attention.NAME, "sdpa"):
        assert ALL_MASK_ATTENTION_FUNCTIONS[name] is attention.whole_mask
