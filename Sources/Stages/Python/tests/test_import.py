import json
import shutil

import numpy
import pytest
import support
import torch

from martlet_stages.failures import StageFailure
from martlet_stages.hashing import file_sha256, files_sha256
from martlet_stages.model import load_model

CPU = torch.device("cpu")


def spec(tmp_path, **source):
    return {"source": source, "output_dir": tmp_path / "imported"}


def test_a_folder_is_copied_and_described(base, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(base, source)
    (source / "README.md").write_text("---\nlicense: mit\n---\n# tiny\n")
    (source / "training_args.bin").write_bytes(b"\x80\x04.")
    recorder = support.Recorder()
    output = support.run("import-model", spec(tmp_path, directory=source), recorder)
    assert output["architecture"] == "LlamaForCausalLM" and output["licence"] == "mit"
    assert output["parameters"] == sum(p.numel() for p in load_model(str(base), CPU, torch.float32).parameters())
    assert "training_args.bin" not in output["files"]
    assert "training_args.bin" in recorder.of("warning")[0]["message"]


def test_the_folder_holds_what_the_digest_names_and_nothing_else(base, tmp_path):
    folders = []
    for licence in ("mit", "apache-2.0"):
        folder = tmp_path / licence
        output = support.run("import-model", {**spec(tmp_path, directory=base), "output_dir": folder, "licence": licence})
        files = {path.name: file_sha256(str(path)) for path in folder.iterdir()}
        assert output["licence"] == licence and output["digest"] == files_sha256(files)
        folders.append(files)
    assert folders[0] == folders[1]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused(base, tmp_path, name):
    source = tmp_path / "source"
    shutil.copytree(base, source)
    (source / "model.safetensors").rename(source / name)
    with pytest.raises(StageFailure, match=f"{name}: such files can run code") as caught:
        support.run("import-model", spec(tmp_path, directory=source))
    assert (caught.value.kind, caught.value.code) == ("permanent", "unsafe_weights")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_missing_file_is_named(base, tmp_path, name):
    source = tmp_path / "source"
    shutil.copytree(base, source)
    (source / name).unlink()
    with pytest.raises(StageFailure, match=f"has no {name}"):
        support.run("import-model", spec(tmp_path, directory=source))


def test_a_file_cut_short_and_a_missing_tensor_are_found(base, tmp_path):
    from safetensors.torch import load_file, save_file

    source = tmp_path / "source"
    shutil.copytree(base, source)
    path = source / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-64])
    with pytest.raises(StageFailure, match="promises"):
        support.run("import-model", spec(tmp_path, directory=source))
    path.write_bytes(whole)
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path)
    shutil.rmtree(tmp_path / "imported")
    with pytest.raises(StageFailure, match="lack model.layers.1.mlp.up_proj.weight"):
        support.run("import-model", spec(tmp_path, directory=source))


def test_a_model_with_code_of_its_own_is_refused(base, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(base, source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(StageFailure, match="auto_map"):
        support.run("import-model", spec(tmp_path, directory=source))


def write_gguf(path, base, tokenizer_model="gpt2"):
    """The base model as a GGUF file, with queries and keys in llama.cpp's order."""
    import gguf

    model = load_model(str(base), CPU, torch.float32)
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_license("mit")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokenizer = support.make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    # A byte-level tokenizer in a GGUF file has merges; these bytes never occur in UTF-8, so their places are free.
    tokens[vocabulary["ÿ"]] = "ab"
    # Transformers adds GPT-2's own unknown token to this kind of tokenizer where it is missing.
    tokens[vocabulary["þ"]] = "<|endoftext|>"
    writer.add_tokenizer_model(tokenizer_model)
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    special = set(tokenizer.all_special_tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(support.TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        stem, _, suffix = key.rpartition(".")
        array = tensor.numpy()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if stem.endswith(part):
                array = array.reshape(heads, 2, array.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", numpy.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_becomes_the_same_model(base, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", base)
    output = support.run("import-model", spec(tmp_path, gguf=path))
    assert output["licence"] == "mit" and output["source"]["kind"] == "gguf" and output["chat_template"]
    ids = torch.arange(5, 60)[None]
    with torch.no_grad():
        ours = load_model(str(tmp_path / "imported"), CPU, torch.float32)(input_ids=ids).logits
        theirs = load_model(str(base), CPU, torch.bfloat16).float()(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_gguf_file_that_is_none_or_cut_short_is_refused(base, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(StageFailure, match="does not begin with 'GGUF'"):
        support.run("import-model", spec(tmp_path, gguf=path))
    whole = write_gguf(tmp_path / "whole.gguf", base).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StageFailure, match="damaged or cut short"):
        support.run("import-model", spec(tmp_path, gguf=path))


@pytest.mark.parametrize("revision", ["main", "v1.0", "abc123", "A" * 40])
def test_a_hub_model_must_be_pinned(tmp_path, revision):
    with pytest.raises(StageFailure, match="40 hexadecimal digits"):
        support.run("import-model", spec(tmp_path, hub={"id": "a/b", "revision": revision}))


def test_an_unreachable_hub_is_retryable(tmp_path, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(StageFailure) as caught:
        support.run("import-model", spec(tmp_path, hub={"id": "a/b", "revision": "0" * 40}))
    assert (caught.value.kind, caught.value.code) == ("retryable", "hub_unreachable")


def test_exactly_one_source(tmp_path, base):
    with pytest.raises(StageFailure, match="exactly one of"):
        support.run("import-model", spec(tmp_path, directory=base, gguf="x"))
