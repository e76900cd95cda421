"""AdamW on float32 masters, and the learning-rate schedule."""

from __future__ import annotations

import math

import torch


def learning_rate(step: int, total: int, peak: float, warmup: int, minimum_ratio: float, schedule: str) -> float:
    """The rate of 0-based ``step``: linear warm-up, then cosine, linear or constant down to a share of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    progress = (step - warmup) / max(1, total - warmup)
    shape = 1 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return peak * (minimum_ratio + (1 - minimum_ratio) * shape)


class MasterAdamW:
    """Decoupled weight decay (Loshchilov, Hutter 2019) on float32 copies of the trained weights.

    bfloat16 has eight bits of precision: a small update added to a weight is rounded away. Gradients of
    several micro batches are summed in float32 for the same reason. Matrices decay; vectors (norms) do not.
    """

    def __init__(self, named: list[tuple[str, torch.nn.Parameter]], betas: tuple[float, float], decay: float):
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.masters = [
            torch.nn.Parameter(parameter.detach().to(torch.float32, copy=True)) for parameter in self.parameters
        ]
        for master in self.masters:
            master.grad = torch.zeros_like(master)
        matrices = [master for master in self.masters if master.ndim > 1]
        vectors = [master for master in self.masters if master.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=betas, eps=1e-8, foreach=True)
        self.steps = 0

    def accumulate(self) -> None:
        """Adds the gradients of a micro batch and frees them."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter.grad is not None:
                master.grad += parameter.grad
                parameter.grad = None

    def discard(self) -> None:
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            parameter.grad = None
            master.grad.zero_()

    def scale_gradients(self, factor: float) -> None:
        torch._foreach_mul_([master.grad for master in self.masters], factor)

    def clip(self, maximum: float) -> float:
        """Clips the gradients' global norm; returns the norm before."""
        norms = torch._foreach_norm([master.grad for master in self.masters])
        norm = float(torch.linalg.vector_norm(torch.stack(norms)))
        if maximum > 0 and math.isfinite(norm) and norm > maximum:
            self.scale_gradients(maximum / (norm + 1e-6))
        return norm

    def step(self, rate: float) -> None:
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self.steps += 1
        self.publish()
        for master in self.masters:
            master.grad.zero_()

    def publish(self) -> None:
        """Copies the masters into the model, rounding to its dtype."""
        with torch.no_grad():
            for parameter, master in zip(self.parameters, self.masters, strict=True):
                parameter.copy_(master)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything needed to go on from here."""
        state: dict[str, torch.Tensor] = {}
        for name, master in zip(self.names, self.masters, strict=True):
            moments = self._adam.state.get(master, {})
            state[f"master.{name}"] = master.detach().cpu()
            for key in ("exp_avg", "exp_avg_sq"):
                state[f"{key}.{name}"] = (moments[key] if moments else torch.zeros_like(master)).detach().cpu()
        return state

    def restore(self, state: dict[str, torch.Tensor], steps: int) -> None:
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(state[f"master.{name}"])
                if steps:
                    self._adam.state[master] = {
                        # PyTorch keeps the step on the CPU unless the optimizer is fused or capturable.
                        "step": torch.tensor(float(steps)),
                        "exp_avg": state[f"exp_avg.{name}"].to(master.device).clone(),
                        "exp_avg_sq": state[f"exp_avg_sq.{name}"].to(master.device).clone(),
                    }
        self.steps = steps
        self.publish()
