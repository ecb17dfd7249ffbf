"""What a decoder is, read from a model's configuration: one set of options for Llama, Mistral, Qwen2 and Qwen3."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ...specs.files.errors import InputError, expected_one_of
from .projections import Projections, widths_of

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
# Those of fixed frequencies: others change them with the length of what they read.
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The measures and options of a decoder.

    windows      for each layer how many of the newest tokens it attends to, 0 for all
    frequencies  fp32 [head_dim / 2] of RoPE, after the model's scaling; `rope_scale` multiplies what they give (YaRN)
    has_head_norms  whether queries and keys are normalised head by head before RoPE (Qwen3)
    """

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    context_len: int
    norm_eps: float
    windows: tuple[int, ...]
    frequencies: torch.Tensor
    rope_scale: float
    has_head_norms: bool

    @property
    def query_width(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """How many numbers a token's keys have, and its values."""
        return self.num_kv_heads * self.head_dim

    @property
    def group(self) -> int:
        """Query heads that share a KV head."""
        return self.num_heads // self.num_kv_heads

    @property
    def widths(self) -> Mapping[str, tuple[int, int]]:
        """The linear projections that an adapter may change: (in, out) of each."""
        return widths_of(
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            query_width=self.query_width,
            kv_width=self.kv_width,
        )

    @property
    def projections(self) -> Projections:
        return Projections(num_layers=self.num_layers, widths=self.widths)


def architecture_of(config: Any, folder: Path) -> Architecture:
    """Return what transformers' configuration of a model describes; raises InputError that names what is unsupported.

    `folder` is named in errors.
    """
    path = folder if folder.is_file() else folder / "config.json"
    if config.model_type not in MODEL_TYPES:
        message = f"unsupported architecture: {expected_one_of(config.model_type, MODEL_TYPES)}"
        raise InputError(path, message, field="model_type")
    if config.hidden_act != "silu":
        raise InputError(path, f"got {config.hidden_act!r}, expected 'silu'", field="hidden_act")
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if head_dim % 2:
        raise InputError(path, f"got {head_dim}, expected an even number", field="head_dim")
    frequencies, scale = _rotary(config, head_dim, path)
    return Architecture(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads or config.num_attention_heads,
        head_dim=head_dim,
        vocab_size=config.vocab_size,
        context_len=config.max_position_embeddings,
        norm_eps=config.rms_norm_eps,
        windows=_windows(config, path),
        frequencies=frequencies,
        rope_scale=scale,
        has_head_norms=config.model_type == "qwen3",
    )


def _rotary(config: Any, head_dim: int, path: Path) -> tuple[torch.Tensor, float]:
    parameters = config.rope_parameters
    kind = parameters.get("rope_type", "default")
    if kind not in ROPE_TYPES:
        message = f"unsupported scaling of positions: {expected_one_of(str(kind), ROPE_TYPES)}"
        raise InputError(path, message, field="rope_type")
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        got = parameters["partial_rotary_factor"]
        raise InputError(path, f"got {got}, expected 1: all of a head is rotated", field="partial_rotary_factor")
    if kind == "default":
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        return 1.0 / parameters["rope_theta"] ** exponents, 1.0
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config)
    return frequencies.float(), float(scale)


def _windows(config: Any, path: Path) -> tuple[int, ...]:
    """Return each layer's window. Mistral has one for all layers, Qwen one for those that `layer_types` names."""
    window: int = getattr(config, "sliding_window", None) or 0
    kinds: list[str] | None = getattr(config, "layer_types", None)
    if kinds is None:
        return (window,) * int(config.num_hidden_layers)
    known = ("full_attention", "sliding_attention")
    for kind in kinds:
        if kind not in known:
            raise InputError(path, expected_one_of(str(kind), known), field="layer_types")
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
