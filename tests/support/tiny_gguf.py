"""GGUF files of tiny models, written as llama.cpp's converter writes them."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def save_gguf(
    path: Path,
    folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    more: Mapping[str, torch.Tensor] | None = None,
    quantised: gguf.GGMLQuantizationType | None = None,
) -> Path:
    """Write the model and the tokenizer of a Hugging Face folder as a GGUF file, and return its path.

    `changes` are entries of metadata, `without` names entries and tensors to leave out, and `more` are tensors beside
    the model's. `quantised` is the type of the projections.
    """
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # Mistral's models are Llamas to llama.cpp.
    architecture = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in {**_metadata(config, architecture, folder), **(changes or {})}.items():
        if name not in without:
            _add(writer, name, value)
    tensors = {_name(name): tensor for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del tensors["output.weight"]
    heads = {"attn_q.weight": config.num_attention_heads, "attn_k.weight": config.num_key_value_heads}
    for name, tensor in {**tensors, **(more or {})}.items():
        if name in without:
            continue
        values = tensor.float().numpy()
        num_heads = heads.get(name.partition(".")[2].partition(".")[2])
        if architecture == "llama" and num_heads:
            values = _as_neighbours(values, num_heads)
        if quantised is not None and values.ndim == 2 and name.startswith("blk."):
            values = gguf.quantize(values, quantised)
            writer.add_tensor(name, values, raw_dtype=quantised)
        else:
            writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(config: Any, architecture: str, folder: Path) -> dict[str, Any]:
    # As it stands in the folder: the tokenizers of some architectures add tokens of their own.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])]
    special = {*tokenizer.all_special_tokens, *(str(token) for token in tokenizer.added_tokens_decoder.values())}
    sizes = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "rope.dimension_count": config.head_dim if architecture == "llama" else None,
        "attention.key_length": config.head_dim if architecture == "qwen3" else None,
    }
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "unknown_token_id": tokenizer.unk_token_id,
        "padding_token_id": tokenizer.pad_token_id,
    }
    entries = {
        "general.name": "tiny",
        **{f"{architecture}.{name}": value for name, value in sizes.items()},
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token in tokens],
        "tokenizer.ggml.merges": _merges(tokenizer.backend_tokenizer.to_str()),
        **{f"tokenizer.ggml.{name}": value for name, value in ids.items()},
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    return {name: value for name, value in entries.items() if value is not None}


def _merges(written: str) -> list[str]:
    merges = json.loads(written)["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _name(theirs: str) -> str:
    stem, _, kind = theirs.rpartition(".")
    if stem.startswith("model.layers."):
        number, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{NAMES[part]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def _as_neighbours(weights: np.ndarray[Any, Any], num_heads: int) -> np.ndarray[Any, Any]:
    """Return the rows of queries or keys with the two that are rotated together side by side."""
    return weights.reshape(num_heads, 2, -1, weights.shape[-1]).swapaxes(1, 2).reshape(weights.shape)


def _add(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(name, value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_array(name, value)
