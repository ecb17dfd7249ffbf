"""The linear projections of a base model, which adapters change: how many layers there are, and how wide each is.

Needs no torch: who checks an adapter's files knows them from the model's configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...synth.models.model_config import ModelConfig

# What transformers takes where a configuration leaves it out, unless it is one key head a query head, and their share
# of the hidden size.
_LEFT_OUT = {
    "mistral": {"num_key_value_heads": 8},
    "qwen2": {"num_key_value_heads": 32},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Projections:
    """All projections of a decoder: each of the layers has those of `widths`, (in, out) of each."""

    num_layers: int
    widths: Mapping[str, tuple[int, int]]


def widths_of(
    *, hidden_size: int, intermediate_size: int, query_width: int, kv_width: int
) -> dict[str, tuple[int, int]]:
    """Return (in, out) of each linear projection that an adapter may change."""
    return {
        "q": (hidden_size, query_width),
        "k": (hidden_size, kv_width),
        "v": (hidden_size, kv_width),
        "o": (query_width, hidden_size),
        "gate": (hidden_size, intermediate_size),
        "up": (hidden_size, intermediate_size),
        "down": (intermediate_size, hidden_size),
    }


def projections_of(config: ModelConfig) -> Projections:
    """Return the projections of the model that a configuration describes."""
    given = config.model_dump(include=config.model_fields_set)
    fields = {**_LEFT_OUT.get(config.model_type, {}), **given}
    num_heads = config.num_attention_heads
    head_dim = fields.get("head_dim") or config.hidden_size // num_heads
    return Projections(
        num_layers=config.num_hidden_layers,
        widths=widths_of(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            query_width=num_heads * head_dim,
            kv_width=(fields.get("num_key_value_heads") or num_heads) * head_dim,
        ),
    )
