from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import tiny_architecture, tiny_config, tiny_model

from verilora.serving.models.architecture import architecture_of
from verilora.specs.files.errors import InputError

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "model_type": ("gpt2", {}, r"model_type: unsupported architecture: got 'gpt2', expected one of llama, mistral, q"),
    "hidden_act": ("llama", {"hidden_act": "gelu"}, r"hidden_act: got 'gelu', expected 'silu'"),
    "dynamic": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
        r"rope_type: unsupported scaling of positions: got 'dynamic', expected one of default, linear, llama3, yarn",
    ),
    "partial_rotary_factor": (
        "llama",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        r"partial_rotary_factor: got 0.5, expected 1: all of a head is rotated",
    ),
}


@pytest.mark.parametrize(("model_type", "changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_supported_is_refused_by_its_field(model_type: str, changes: dict[str, Any], message: str) -> None:
    config = tiny_config(model_type, **changes)
    with pytest.raises(InputError, match=rf"^some/config.json: {message}"):
        architecture_of(config, Path("some"))


def test_heads_of_an_odd_size_are_refused() -> None:
    config = tiny_config()
    config.head_dim = 15
    with pytest.raises(InputError, match=r"^some/config.json: head_dim: got 15, expected an even number"):
        architecture_of(config, Path("some"))


def test_layers_of_another_kind_are_refused() -> None:
    config = tiny_config("qwen2")
    config.layer_types = ["full_attention", "chunked_attention"]
    with pytest.raises(InputError, match=r"layer_types: got 'chunked_attention', expected one of full_attention, slid"):
        architecture_of(config, Path("some"))


@pytest.mark.parametrize(
    ("model_type", "changes", "windows"),
    [
        ("llama", {}, (0, 0)),
        ("mistral", {"sliding_window": 7}, (7, 7)),
        ("mistral", {"sliding_window": None}, (0, 0)),
        ("qwen2", {"sliding_window": 7}, (0, 0)),
        ("qwen2", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 1}, (0, 7)),
        ("qwen3", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 0}, (7, 7)),
        ("qwen3", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 2}, (0, 0)),
    ],
)
def test_each_layer_has_its_window(model_type: str, changes: dict[str, Any], windows: tuple[int, ...]) -> None:
    assert tiny_architecture(model_type, **changes).windows == windows


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("theta", [1e4, 1e6])
def test_frequencies_are_those_of_transformers(model_type: str, theta: float) -> None:
    model = tiny_model(model_type, rope_parameters={"rope_type": "default", "rope_theta": theta})
    found = architecture_of(model.config, Path("some"))
    torch.testing.assert_close(found.frequencies, model.model.rotary_emb.inv_freq, rtol=1e-6, atol=0)
    assert found.rope_scale == 1


def test_measures() -> None:
    found = tiny_architecture("qwen3", num_attention_heads=6, num_key_value_heads=2, head_dim=10)
    assert (found.query_width, found.kv_width, found.group) == (60, 20, 3)
    assert found.widths == {
        "q": (32, 60), "k": (32, 20), "v": (32, 20), "o": (60, 32), "gate": (32, 48), "up": (32, 48), "down": (48, 32),
    }  # fmt: skip
    assert (found.context_len, found.vocab_size, found.has_head_norms) == (256, 97, True)


def test_heads_of_keys_and_their_size_may_be_left_out() -> None:
    config = tiny_config("qwen2", num_key_value_heads=None, head_dim=None)
    found = architecture_of(config, Path("some"))
    assert (found.num_kv_heads, found.head_dim) == (2, 16)
