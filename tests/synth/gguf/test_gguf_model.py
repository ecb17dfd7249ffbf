from pathlib import Path
from typing import Any

import pytest
import torch

from verilora.specs.files.errors import InputError
from verilora.synth.gguf.gguf_model import ARCHITECTURES, read_gguf
from verilora.synth.models.model_files import MODEL_TYPES

from tiny_gguf import save_gguf
from tiny_models import save_tiny_model, tiny_tokenizer

OWN = "or the model's own folder"


def test_the_architectures_are_those_of_folders() -> None:
    # Mistral's files say that they are Llamas.
    assert {*ARCHITECTURES, "mistral"} == {*MODEL_TYPES}


def test_the_configuration_is_that_of_the_folder(tmp_path: Path, chat_model: Path) -> None:
    config = read_gguf(save_gguf(tmp_path / "model.gguf", chat_model)).config
    assert config == {
        "model_type": "llama",
        "max_position_embeddings": 4096,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "vocab_size": 400,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }


def test_what_older_files_do_not_say(tmp_path: Path, texts: list[str]) -> None:
    sizes = {"num_key_value_heads": 4, "num_attention_heads": 4}
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), **sizes)
    said = ["llama.attention.head_count_kv", "llama.rope.dimension_count", "llama.rope.freq_base"]
    full = read_gguf(save_gguf(tmp_path / "full.gguf", folder))
    assert read_gguf(save_gguf(tmp_path / "old.gguf", folder, without=said)).config == full.config


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"general.architecture": "mamba"}, "general.architecture", "unsupported architecture: got 'mamba', expected"),
        ({"split.count": 3}, "split.count", "got one of 3 parts, expected a model in one file"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type", f"got 'yarn', expected none, {OWN}"),
        ({"llama.expert_count": 8}, "llama.expert_count", f"got 8, which is not supported in a GGUF file.*{OWN}"),
        ({"llama.attention.sliding_window": 9}, "llama.attention.sliding_window", f"got 9, which is not .*{OWN}"),
        ({"llama.rope.dimension_count": 4, "llama.attention.key_length": 8}, "llama.rope.dimension_count", "got 4, "),
        ({"tokenizer.ggml.eos_token_id": 400}, "tokenizer.ggml.eos_token_id", "got 400, expected one of .* 0 to 399"),
        ({"tokenizer.ggml.bos_token_id": "x"}, "tokenizer.ggml.bos_token_id", "got 'x', expected one of .* 0 to 399"),
        ({"llama.block_count": 0}, "llama.block_count", "got 0, expected a number over 0"),
        ({"llama.embedding_length": "wide"}, "llama.embedding_length", "got 'wide', expected a number over 0"),
        ({"llama.rope.freq_base": -1.0}, "llama.rope.freq_base", "got -1.0, expected a number over 0"),
    ],
)
def test_what_is_not_supported(
    tmp_path: Path, chat_model: Path, changes: dict[str, Any], field: str, message: str
) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, changes=changes)
    with pytest.raises(InputError, match=rf"model.gguf: {field}: .*{message}"):
        read_gguf(path)


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("tokenizer.ggml.tokens", "is not in the file, expected a model with its tokenizer"),
        ("tokenizer.ggml.eos_token_id", "is not in the file, expected a model with its tokenizer"),
        ("token_embd.weight", "is not in the file, expected a model's weights"),
        ("llama.context_length", "got nothing, expected a number over 0"),
        ("llama.attention.layer_norm_rms_epsilon", "got nothing, expected a number over 0"),
    ],
)
def test_what_is_missing(tmp_path: Path, chat_model: Path, without: str, message: str) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, without=[without])
    with pytest.raises(InputError, match=rf"model.gguf: {without}: {message}"):
        read_gguf(path)


@pytest.mark.parametrize("name", ["rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.attn_q_norm.weight", "blk.0.x.y"])
def test_a_tensor_that_would_be_passed_over(tmp_path: Path, chat_model: Path, name: str) -> None:
    path = save_gguf(tmp_path / "model.gguf", chat_model, more={name: torch.ones(4)})
    with pytest.raises(InputError, match=rf"model.gguf: {name}: unsupported tensor: expected .* plain llama, {OWN}"):
        read_gguf(path)
