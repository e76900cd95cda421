"""The training loop: order, accumulation, checkpoints, release."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy
import torch

from .checkpoint import write_checkpoint
from .columns import Columns
from .events import EventStream
from .failures import Released, is_out_of_memory, out_of_memory
from .model import Batch, is_flat, summed_loss
from .optimizer import MasterAdamW, learning_rate
from .runtime import StopRequest, log
from .scoring import score


@dataclass(frozen=True)
class Plan:
    total_steps: int
    micro_batch: int
    accumulation: int
    peak_rate: float
    warmup_steps: int
    schedule: str
    minimum_ratio: float
    max_norm: float
    seed: int
    checkpoint_steps: int
    checkpoint_seconds: float
    eval_steps: int
    eval_bins: int


@dataclass
class Point:
    """One optimizer step of the loss curve."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float


class Trainer:
    """Runs the plan. The state after step n is a function of data, plan and n alone:

    - rows are drawn from a permutation of each epoch, seeded by seed and epoch;
    - random numbers (dropout) are seeded by seed and step, so there is no generator state to carry over;
    - the loss of a step is the mean over the answer tokens of all its rows, however they are divided into
      micro batches, so half the micro batch with twice the accumulation is the same training.
    """

    def __init__(self, model, columns: Columns, held_out: Columns | None, optimizer: MasterAdamW, plan: Plan, pad: int,
                 device: torch.device, events: EventStream, stop: StopRequest):  # fmt: skip
        self.model = model
        self.columns = columns
        self.held_out = held_out
        self.optimizer = optimizer
        self.plan = plan
        self.pad = pad
        self.device = device
        self.events = events
        self.stop = stop
        self.flat = is_flat(model)
        self.step = 0
        self.last_length = 0
        self.curve: list[Point] = []
        self.tokens = 0
        self.answer_tokens = 0
        self.seconds = 0.0
        self.diverged_at: int | None = None

    def restore(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.curve = [Point(**{name: _number(value) for name, value in point.items()}) for point in state["curve"]]
        self.tokens = state["tokens"]
        self.answer_tokens = state["answer_tokens"]
        self.seconds = state["seconds"]
        self.optimizer.restore(tensors, self.step)

    def run(self, fingerprint: dict[str, Any], checkpoint_directory: str) -> None:
        started = time.monotonic()
        before = self.seconds
        first = self.step
        saved_step, saved_time = self.step, started
        self.model.train()
        while self.step < self.plan.total_steps and self.diverged_at is None:
            try:
                finished = self._one_step()
            except Exception as error:
                # In the optimizer as well: its moments come into being with the first step.
                if not is_out_of_memory(error):
                    raise
                raise out_of_memory(
                    error, micro_batch_size=self.plan.micro_batch, gradient_accumulation_steps=self.plan.accumulation,
                    sequence_length=self.last_length, step=self.step,
                ) from error  # fmt: skip
            now = time.monotonic()
            self.seconds = before + now - started
            if finished:
                self._report((now - started) / (self.step - first) if self.step > first else 0.0)
            due = (self.plan.checkpoint_steps and self.step - saved_step >= self.plan.checkpoint_steps) or (
                self.plan.checkpoint_seconds and now - saved_time >= self.plan.checkpoint_seconds
            )
            done = self.step >= self.plan.total_steps
            if self.diverged_at is None and self.step > saved_step and ((due and not done) or self.stop.requested):
                self._checkpoint(checkpoint_directory, fingerprint)
                saved_step, saved_time = self.step, time.monotonic()
            if self.stop.requested:
                if self.step and self.step == first:
                    # Nothing new since the checkpoint this attempt began from.
                    log(f"released at step {self.step}, which is saved already")
                raise Released()

    def _one_step(self) -> bool:
        """One optimizer step; false when it was given up for a stop request or a loss that is not finite."""
        plan = self.plan
        rows = self._rows(self.step)
        wanted = sum(int(self.columns.row(index).mask.sum()) for index in rows)
        torch.manual_seed((plan.seed * 1_000_003 + self.step) % 2**63)
        total, targets, tokens = 0.0, 0, 0
        for start in range(0, len(rows), plan.micro_batch):
            picked = [self.columns.row(index) for index in rows[start : start + plan.micro_batch]]
            self.last_length = max(len(row.ids) for row in picked)
            batch = Batch(picked, self.pad, self.device, self.flat)
            # Divided by the known number of answer tokens before the sum, so that bfloat16 gradients stay small.
            loss = summed_loss(self.model, batch)
            (loss / max(1, wanted)).backward()
            self.optimizer.accumulate()
            total += float(loss.detach())
            targets += batch.target_count
            tokens += batch.tokens
            if self.stop.requested and start + plan.micro_batch < len(rows):
                # The step would be repeated from its start anyway: give the rest of it up at once.
                self.optimizer.discard()
                return False
        loss_value = total / max(1, targets)
        self.optimizer.scale_gradients(max(1, wanted) / max(1, targets))
        norm = self.optimizer.clip(plan.max_norm)
        rate = learning_rate(
            self.step, plan.total_steps, plan.peak_rate, plan.warmup_steps, plan.minimum_ratio, plan.schedule
        )
        self.curve.append(Point(self.step + 1, loss_value, rate, norm))
        if not math.isfinite(loss_value) or not math.isfinite(norm):
            # A hopeless learning rate is a bad model, not a broken task: training ends here, the weights of the
            # last good step are written, and the gate rejects what evaluation finds.
            self.optimizer.discard()
            self.diverged_at = self.step + 1
            self.events.warning(
                f"the loss is not finite at step {self.step + 1}: training ends early; lower the learning rate",
                step=self.step + 1,
            )
            return False
        self.optimizer.step(rate)
        self.step += 1
        self.tokens += tokens
        self.answer_tokens += targets
        return True

    def _rows(self, step: int) -> list[int]:
        """The bins of a step: consecutive ones of the endless sequence of shuffled epochs."""
        size = self.plan.micro_batch * self.plan.accumulation
        bins = self.columns.bins
        rows: list[int] = []
        position = step * size
        while len(rows) < size:
            epoch, start = divmod(position, bins)
            taken = self._permutation(epoch)[start : start + size - len(rows)]
            rows.extend(taken.tolist())
            position += len(taken)
        return rows

    def _permutation(self, epoch: int) -> numpy.ndarray:
        if getattr(self, "_shuffled", (None, None))[0] != epoch:
            generator = numpy.random.Generator(numpy.random.PCG64(numpy.random.SeedSequence([self.plan.seed, epoch])))
            self._shuffled = (epoch, generator.permutation(self.columns.bins))
        return self._shuffled[1]

    def _report(self, seconds_per_step: float) -> None:
        point = self.curve[-1]
        left = (self.plan.total_steps - self.step) * seconds_per_step
        self.events.progress(
            self.step, self.plan.total_steps, loss=round(point.loss, 5), eta_seconds=round(left, 1)
        )
        values = {
            "train/loss": point.loss,
            "train/learning_rate": point.learning_rate,
            "train/gradient_norm": point.gradient_norm,
            "train/tokens": self.tokens,
            "train/tokens_per_second": round(self.tokens / self.seconds, 2) if self.seconds else 0.0,
            "train/epoch": self.step * self.plan.micro_batch * self.plan.accumulation / self.columns.bins,
        }
        if self.held_out is not None and self.plan.eval_steps and self.step % self.plan.eval_steps == 0:
            rows = [self.held_out.row(index) for index in range(min(self.plan.eval_bins, self.held_out.bins))]
            values["eval/loss"] = score(
                self.model, rows, self.held_out.examples, self.plan.micro_batch, self.pad, self.device
            ).mean_loss
            self.model.train()
        self.events.emit("metric", step=self.step, values=values)

    def _checkpoint(self, directory: str, fingerprint: dict[str, Any]) -> None:
        state = {
            "fingerprint": fingerprint,
            "curve": [asdict(point) for point in self.curve],
            "tokens": self.tokens,
            "answer_tokens": self.answer_tokens,
            "seconds": self.seconds,
        }
        path = write_checkpoint(directory, self.step, self.optimizer.tensors(), state)
        self.events.emit("checkpoint", step=self.step, directory=path)


def _number(value: Any) -> Any:
    return math.nan if value is None else value
