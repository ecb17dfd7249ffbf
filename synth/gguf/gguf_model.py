"""A language model in a GGUF file: what of it is supported, in the words of Hugging Face's files. Needs no torch."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...specs.files.errors import InputError, expected_one_of
from .header import GgufHeader, read_header

# Mistral's models are written as `llama`.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
# The names of metadata behind the architecture's, as `config.json` calls them.
_SIZES = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
}
_TOKENS, _TEMPLATE = "tokenizer.ggml.tokens", "tokenizer.chat_template"
_SPECIAL = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}
_END_OF_TURN = "tokenizer.ggml.eot_token_id"
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TENSOR = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")


@dataclass(frozen=True)
class GgufModel:
    """A model of a supported architecture, with its tokenizer."""

    header: GgufHeader

    @property
    def path(self) -> Path:
        return self.header.path

    @property
    def architecture(self) -> str:
        name: str = self.header.metadata["general.architecture"]
        return name

    @property
    def num_tokens(self) -> int:
        """How many tokens its tokenizer has."""
        return len(self.header.metadata[_TOKENS])

    @property
    def special_tokens(self) -> dict[str, str]:
        """The tokens that begin a text, end an answer, fill up and stand for what is unknown: those that are named."""
        tokens = self.header.metadata[_TOKENS]
        return {name: tokens[token] for name, token in self._special_ids().items()}

    @property
    def chat_template(self) -> str | None:
        template: str | None = self.header.metadata.get(_TEMPLATE)
        return template

    @cached_property
    def config(self) -> dict[str, Any]:
        """What `config.json` would say."""
        ids = self._special_ids()
        hidden, heads = self._size("embedding_length"), self._size("attention.head_count")
        tensors = self.header.tensors
        return {
            "model_type": self.architecture,
            **{theirs: self._size(name) for name, theirs in _SIZES.items()},
            "num_key_value_heads": self._size("attention.head_count_kv", heads),
            "head_dim": self._size("attention.key_length", self._size("rope.dimension_count", hidden // heads)),
            # Their fp32 in the file has no such digits.
            "rms_norm_eps": float(f"{self._number('attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_parameters": {"rope_type": "default", "rope_theta": self._number("rope.freq_base", 10_000.0)},
            "vocab_size": tensors["token_embd.weight"].shape[0],
            "tie_word_embeddings": "output.weight" not in tensors,
            "bos_token_id": ids.get("bos_token"),
            "eos_token_id": self._end_ids(),
            "pad_token_id": ids.get("pad_token"),
        }

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each tensor in the file, with that in a model of transformers."""
        for name in self.header.tensors:
            yield name, self._name(name)

    def check(self) -> None:
        """Raise InputError for what would not be loaded, or not as it is meant."""
        self._check_architecture()
        self._check_tokenizer()
        if "token_embd.weight" not in self.header.tensors:
            raise InputError(self.path, "is not in the file, expected a model's weights", field="token_embd.weight")
        for name in self.header.tensors:
            self._name(name)
        rotated = self.header.metadata.get(f"{self.architecture}.rope.dimension_count")
        if rotated not in (None, self.config["head_dim"]):
            message = f"got {rotated}, expected {self.config['head_dim']}: all of a head is rotated"
            raise InputError(self.path, message, field=f"{self.architecture}.rope.dimension_count")

    def _check_architecture(self) -> None:
        metadata = self.header.metadata
        found = str(metadata.get("general.architecture"))
        if found not in ARCHITECTURES:
            message = f"unsupported architecture: {expected_one_of(found, ARCHITECTURES)}"
            raise InputError(self.path, message, field="general.architecture")
        if metadata.get("split.count", 1) > 1:
            message = f"got one of {metadata['split.count']} parts, expected a model in one file"
            raise InputError(self.path, message, field="split.count")
        scaling = f"{found}.rope.scaling.type"
        if metadata.get(scaling, "none") != "none":
            message = f"unsupported scaling of positions: got {metadata[scaling]!r}, expected none"
            raise InputError(self.path, f"{message}, or the model's own folder", field=scaling)
        for name in ("expert_count", "attention.sliding_window"):
            if metadata.get(f"{found}.{name}", 0):
                got = metadata[f"{found}.{name}"]
                message = f"got {got}, which is not supported in a GGUF file: expected none, or the model's own folder"
                raise InputError(self.path, message, field=f"{found}.{name}")

    def _check_tokenizer(self) -> None:
        metadata = self.header.metadata
        for name in (_TOKENS, _SPECIAL["eos_token"]):
            if name not in metadata:
                raise InputError(self.path, "is not in the file, expected a model with its tokenizer", field=name)
        num_tokens = len(metadata[_TOKENS])
        for name in (*_SPECIAL.values(), _END_OF_TURN):
            token = metadata.get(name, 0)
            if not isinstance(token, int) or not 0 <= token < num_tokens:
                message = f"got {token!r}, expected one of the tokens 0 to {num_tokens - 1}"
                raise InputError(self.path, message, field=name)

    def _end_ids(self) -> int | list[int]:
        """Return the tokens that end an answer: that of a turn, too, where it is another one than that of a text."""
        metadata = self.header.metadata
        ends = {metadata[name] for name in (_SPECIAL["eos_token"], _END_OF_TURN) if name in metadata}
        return sorted(ends) if len(ends) > 1 else ends.pop()

    def _special_ids(self) -> Mapping[str, int]:
        metadata = self.header.metadata
        return {name: metadata[key] for name, key in _SPECIAL.items() if key in metadata}

    def _name(self, name: str) -> str:
        found = _TENSOR.fullmatch(name)
        layer, part, kind = found.groups() if found else (None, None, None)
        known = (_WHOLE if layer is None else _OF_A_LAYER).get(str(part))
        is_biased = self.architecture == "qwen2" and part in ("attn_q", "attn_k", "attn_v")
        is_of_qwen3 = part in ("attn_q_norm", "attn_k_norm")
        if known is None or (kind == "bias" and not is_biased) or (is_of_qwen3 and self.architecture != "qwen3"):
            # Llama 3.1 scales positions by `rope_freqs.weight`; without it answers would be others.
            message = f"unsupported tensor: expected those of a plain {self.architecture}"
            raise InputError(self.path, f"{message}, or the model's own folder", field=name)
        return f"{known}.{kind}" if layer is None else f"model.layers.{layer}.{known}.{kind}"

    def _size(self, name: str, default: int | None = None) -> int:
        value = self.header.metadata.get(f"{self.architecture}.{name}", default)
        if not isinstance(value, int) or value < 1:
            found = "nothing" if value is None else repr(value)
            raise InputError(self.path, f"got {found}, expected a number over 0", field=f"{self.architecture}.{name}")
        return value

    def _number(self, name: str, default: float | None = None) -> float:
        value = self.header.metadata.get(f"{self.architecture}.{name}", default)
        if not isinstance(value, float) or not value > 0:
            found = "nothing" if value is None else repr(value)
            raise InputError(self.path, f"got {found}, expected a number over 0", field=f"{self.architecture}.{name}")
        return value


def read_gguf(path: Path) -> GgufModel:
    """Return the model in a GGUF file; raises InputError with what cannot be read or is not supported."""
    model = GgufModel(read_header(path))
    model.check()
    return model
