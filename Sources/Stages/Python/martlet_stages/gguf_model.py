"""Turning a GGUF file of a Llama-family model into a safetensors folder."""

from __future__ import annotations

import os
from typing import Any

import numpy
import torch

from .events import EventStream
from .failures import permanent


def convert(path: str, output: str, events: EventStream) -> dict[str, Any]:
    """Dequantises the weights to bfloat16 and writes model, configuration and tokenizer to ``output``.

    Returns what the file says about itself. Tensors are converted one by one: the peak is the bfloat16
    model plus one tensor in float32.
    """
    import gguf
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise permanent("invalid_gguf", f"{path} is not a GGUF file: it does not begin with 'GGUF'", file=path)
    try:
        reader = gguf.GGUFReader(path)
    except Exception as error:
        raise permanent("invalid_gguf", f"{path} is damaged or cut short: {error}", file=path) from error
    facts = {name: _scalar(reader, name) for name in _FACTS}
    architecture = facts["general.architecture"]
    if architecture != "llama":
        raise permanent(
            "unsupported_architecture",
            f"{path} holds a '{architecture}' model; only Llama-family GGUF files are converted "
            "(Llama, SmolLM, TinyLlama, Mistral): import a safetensors folder of this model instead",
            architecture=str(architecture),
        )

    folder, name = os.path.split(os.path.abspath(path))
    events.progress(1, 4, "reading configuration and tokenizer")
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config.tie_word_embeddings = "output.weight" not in tensors
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = torch.bfloat16
    # A path of the machine that converted it says nothing to anybody else.
    config._name_or_path = ""

    with torch.device("meta"):
        expected = LlamaForCausalLM(config).state_dict()
    events.progress(2, 4, f"dequantising {len(tensors)} tensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    state: dict[str, torch.Tensor] = {}
    used: set[str] = set()
    for key, shape in expected.items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, suffix = key.rpartition(".")
        source = f"{names.get_name(stem)}.{suffix}"
        if source not in tensors:
            raise permanent("invalid_gguf", f"{path} lacks tensor {source} (for {key})", file=path, tensor=source)
        tensor = tensors[source]
        array = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32, copy=False)
        if stem.endswith("q_proj"):
            array = _unpermute(array, config.num_attention_heads)
        elif stem.endswith("k_proj"):
            array = _unpermute(array, config.num_key_value_heads)
        if tuple(array.shape) != tuple(shape.shape):
            raise permanent(
                "invalid_gguf", f"{path}: {source} is {array.shape} where {tuple(shape.shape)} is expected", file=path
            )
        state[key] = torch.from_numpy(numpy.array(array, order="C")).to(torch.bfloat16)
        used.add(source)
    # Llama 3's frequency table would change every position: ignoring it would give a wrong model.
    left = sorted(set(tensors) - used)
    if left:
        raise permanent(
            "unsupported_architecture", f"{path} has tensors that a plain Llama lacks: {', '.join(left[:5])}", file=path
        )

    events.progress(3, 4, "writing safetensors")
    save_file(state, os.path.join(output, "model.safetensors"), metadata={"format": "pt"})
    config.save_pretrained(output)
    tokenizer.save_pretrained(output)
    GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    ).save_pretrained(output)
    return {
        "architecture": architecture,
        "name": facts["general.name"],
        "organization": facts["general.organization"],
        "licence": facts["general.license"],
        "quantization": sorted({tensor.tensor_type.name for tensor in reader.tensors}),
    }


_FACTS = ("general.architecture", "general.name", "general.organization", "general.license")


def _scalar(reader: Any, name: str) -> Any:
    field = reader.fields.get(name)
    return None if field is None else field.contents()


def _unpermute(array: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Undoes llama.cpp's reordering of query and key rows: it interleaves the two halves of a rotary pair,
    Transformers keeps them apart."""
    rows = array.shape[0]
    return array.reshape(heads, rows // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
