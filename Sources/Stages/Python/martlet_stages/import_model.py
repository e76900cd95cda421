"""``import-model``: a base model from a folder, a GGUF file or the hub, as a verified safetensors folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Any

from .events import EventStream
from .failures import Released, StageFailure, permanent
from .hashing import file_sha256, files_sha256
from .runtime import StopRequest, require_empty_directory
from .safefiles import PICKLE_SUFFIXES, WIDTHS, read_header, read_json, weight_files
from .spec import Spec

_REQUIRED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_OPTIONAL = (
    "generation_config.json", "special_tokens_map.json", "chat_template.jinja", "added_tokens.json",
    "tokenizer.model", "vocab.json", "merges.txt", "model.safetensors.index.json", "LICENSE", "LICENSE.txt",
    "LICENSE.md", "NOTICE", "README.md",
)  # fmt: skip
_REVISION = re.compile(r"[0-9a-f]{40}")


def run(spec: Spec, events: EventStream, stop: StopRequest) -> dict[str, Any]:
    source = spec.object("source")
    output = spec.text("output_dir")
    licence = spec.text("licence", None)
    given = [kind for kind in ("directory", "gguf", "hub") if source.has(kind)]
    if len(given) != 1:
        raise spec.fail("source", "must hold exactly one of directory, gguf and hub")
    require_empty_directory(output)
    if given[0] != "hub":
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

    if given[0] == "gguf":
        path = source.file("gguf")
        from . import gguf_model

        said = gguf_model.convert(path, output, events)
        origin = {"kind": "gguf", "file": os.path.basename(path), "sha256": file_sha256(path), **said}
        licence = licence or said["licence"]
    elif given[0] == "directory":
        folder = source.directory("directory")
        origin = {"kind": "directory", "name": os.path.basename(os.path.abspath(folder))}
        origin["sha256"] = _copy(folder, output, events, stop)
    else:
        hub = source.object("hub")
        folder, origin = _download(hub, output, events)
        origin["sha256"] = _copy(folder, output, events, stop)
        shutil.rmtree(folder)
    spec.warn_unread(events)
    if stop.requested:
        raise Released()

    facts = _verify(output)
    files = {name: file_sha256(os.path.join(output, name)) for name in sorted(os.listdir(output))}
    # What differs between two imports of equal weights stays out of the folder: that is stored under the digest.
    return {
        **facts,
        "licence": licence or _licence_of_card(output) or "unknown",
        "source": origin,
        "digest": files_sha256(files),
        "files": sorted(files),
    }


def _copy(folder: str, output: str, events: EventStream, stop: StopRequest) -> str:
    """Copies what a model needs and nothing else; returns a digest of what was copied."""
    for name in _REQUIRED:
        if not os.path.isfile(os.path.join(folder, name)):
            hint = "; a model with only tokenizer.model must be saved with a fast tokenizer first"
            raise permanent(
                "missing_file", f"{folder} has no {name}{hint if name == 'tokenizer.json' else ''}", file=name
            )
    config = read_json(os.path.join(folder, "config.json"), "the model configuration")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise permanent("invalid_file", f"{folder}/config.json has no 'model_type'", file="config.json")
    if config.get("auto_map"):
        raise permanent("remote_code", f"{folder}/config.json asks to run code of its own (auto_map); it is not run")
    weights = weight_files(folder)
    ignored = [name for name in sorted(os.listdir(folder)) if name.endswith(PICKLE_SUFFIXES)]
    if ignored:
        events.warning(f"left out, as only safetensors are read: {', '.join(ignored[:10])}")
    names = [name for name in (*_REQUIRED, *_OPTIONAL, *weights) if os.path.isfile(os.path.join(folder, name))]
    digests: dict[str, str] = {}
    for position, name in enumerate(names, 1):
        if stop.requested:
            raise Released()
        events.progress(position, len(names), f"copying {name}")
        target = os.path.join(output, name)
        shutil.copyfile(os.path.join(folder, name), target)
        digests[name] = file_sha256(target)
    return files_sha256(digests)


def _download(hub: Spec, output: str, events: EventStream) -> tuple[str, dict[str, Any]]:
    """Fetches one pinned revision. A branch name is refused: it would name different weights tomorrow."""
    name = hub.text("id")
    revision = hub.text("revision")
    if not _REVISION.fullmatch(revision):
        raise hub.fail("revision", "must be a commit of 40 hexadecimal digits, as branches and tags can move")
    folder = os.path.abspath(output).rstrip("/") + ".download"
    events.progress(0, 1, f"downloading {name} at {revision[:12]}")
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            name,
            revision=revision,
            local_dir=folder,
            allow_patterns=["*.safetensors", *_REQUIRED, *_OPTIONAL],
            ignore_patterns=["*/*"],
            max_workers=4,
        )
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        kind = type(error).__name__
        if status in (401, 403, 404) or kind in ("HFValidationError", "RepositoryNotFoundError"):
            raise permanent(
                "hub_refused",
                f"the hub has no {name} at {revision}, or refuses it ({kind}"
                + (f", status {status})" if status else ")")
                + "; check the id and the revision, and set HF_TOKEN for a gated model",
                status=status,
            ) from error
        print(f"{kind}: {error}", file=sys.stderr)
        raise StageFailure(
            "retryable", "hub_unreachable", f"could not download {name} from the hub ({kind}); is there a network?"
        ) from error
    return folder, {"kind": "hub", "name": name, "revision": revision}


def _verify(folder: str) -> dict[str, Any]:
    """Checks that the folder loads: known model type, all tensors there with the right shapes, whole files."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        raise permanent(
            "invalid_model", f"{folder} is not a causal language model that Transformers can load: {error}"
        ) from error
    tensors: dict[str, Any] = {}
    for name in weight_files(folder):
        tensors.update(read_header(os.path.join(folder, name)))
    tied = set(getattr(model, "_tied_weights_keys", None) or ()) if config.tie_word_embeddings else set()
    for name, tensor in model.state_dict().items():
        found = tensors.get(name)
        if found is None:
            if name in tied:
                continue
            raise permanent("missing_tensor", f"the weights lack {name}", tensor=name)
        if list(found["shape"]) != list(tensor.shape):
            raise permanent(
                "invalid_weights", f"{name} is {found['shape']} where {list(tensor.shape)} is expected", tensor=name
            )
    if not tokenizer.is_fast:
        raise permanent("invalid_model", f"{folder} has no fast tokenizer (tokenizer.json)")
    if len(tokenizer) > config.get_text_config().vocab_size:
        raise permanent(
            "invalid_model",
            f"the tokenizer has {len(tokenizer)} tokens and the model only {config.get_text_config().vocab_size}",
        )
    widths = {tensor["dtype"] for tensor in tensors.values()}
    return {
        "architecture": type(model).__name__,
        "model_type": config.model_type,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weight_bytes": sum(t["data_offsets"][1] - t["data_offsets"][0] for t in tensors.values()),
        "dtype": max(widths, key=lambda width: (WIDTHS[width], width)),
        "context_length": getattr(config.get_text_config(), "max_position_embeddings", None),
        "vocabulary": config.get_text_config().vocab_size,
        "chat_template": bool(tokenizer.chat_template),
    }


def _licence_of_card(folder: str) -> str | None:
    """The licence in the front matter of the model card."""
    path = os.path.join(folder, "README.md")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.read(64 << 10)
    match = re.match(r"---\s*\n(.*?)\n---", head, re.DOTALL)
    found = re.search(r"^license:\s*(\S+)\s*$", match.group(1), re.MULTILINE) if match else None
    return found.group(1).strip("'\"") if found else None
