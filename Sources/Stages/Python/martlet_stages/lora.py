"""Low-rank adapters (Hu et al. 2021) through peft, and their merge."""

from __future__ import annotations

import os
from typing import Any

import torch

from .failures import permanent
from .spec import Spec


def read_options(spec: Spec) -> dict[str, Any]:
    rank = spec.integer("r", 16, low=1, high=4096)
    modules = spec.raw("target_modules", "all-linear")
    if modules != "all-linear" and not (
        isinstance(modules, list) and modules and all(isinstance(item, str) for item in modules)
    ):
        raise spec.fail("target_modules", "must be 'all-linear' or a list of module names")
    return {
        "r": rank,
        "alpha": spec.number("alpha", 2.0 * rank, low=0.0),
        "dropout": spec.number("dropout", 0.0, low=0.0, high=0.95),
        "target_modules": modules,
    }


def attach(model, options: dict[str, Any], base_name: str | None, seed: int):
    """The model with fresh adapters, trainable, in the model's own dtype."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options["r"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout"],
        target_modules=options["target_modules"],
        bias="none",
    )
    torch.manual_seed(seed)
    try:
        # The optimizer keeps float32 masters, so the adapters themselves need no more than the model's dtype.
        wrapped = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise permanent("invalid_spec", f"field 'lora.target_modules': {error}", field="lora.target_modules") from error
    if any(len(getattr(module, "lora_embedding_A", ())) for module in wrapped.modules()):
        raise permanent(
            "invalid_spec", "field 'lora.target_modules' names an embedding; only linear layers can be adapted",
            field="lora.target_modules",
        )  # fmt: skip
    # The workspace's path says nothing to anybody else.
    wrapped.peft_config["default"].base_model_name_or_path = base_name
    return wrapped


def save_adapter(model, directory: str) -> None:
    # Embeddings are never adapted, and looking for changed ones would ask the hub.
    model.save_pretrained(directory, safe_serialization=True, save_embedding_layers=False)
    card = os.path.join(directory, "README.md")
    if os.path.exists(card):
        # peft's template of a card; the real one lies beside the adapter.
        os.remove(card)


def merge(model):
    """The base model with the adapters folded in: W + (alpha / r) B A, in float32, rounded once to W's dtype.

    Serving an unmerged adapter costs about three times as much per token.
    """
    with torch.no_grad():
        for module in model.modules():
            if not hasattr(module, "lora_A") or "default" not in getattr(module, "lora_A", {}):
                continue
            weight = module.get_base_layer().weight
            down = module.lora_A["default"].weight.float()
            up = module.lora_B["default"].weight.float()
            delta = up @ down
            if getattr(module, "fan_in_fan_out", False):
                # Layers in the manner of GPT-2 keep their weight transposed.
                delta = delta.T
            weight.copy_(weight.float() + module.scaling["default"] * delta)
    return model.unload()
