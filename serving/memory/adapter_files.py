"""LoRA adapters as PEFT writes them: from a folder, or from a model in training without a detour over the disk."""

import re
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import get_peft_model_state_dict
from peft.utils.other import get_pattern_key

from ...kernels.lora.adapter_pages import read_peft
from ...specs.files.errors import InputError
from ...synth.models.adapter_files import read_tensors
from ...synth.models.model_config import AdapterConfig, parse_config
from ...synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from ..models.architecture import Architecture
from .adapter_weights import AdapterWeights, LowRank, Place

Number = TypeVar("Number", int, float)

_EMBEDDING = re.compile(r"(?:embed_tokens|lm_head)\.weight$")
# Where a projection stands in the models that are served; PEFT matches its patterns against such names.
_MODULES = dict.fromkeys("qkvo", "self_attn") | dict.fromkeys(("gate", "up", "down"), "mlp")


def read_adapter(folder: Path, architecture: Architecture, embedding: torch.Tensor) -> AdapterWeights:
    """Return an adapter in PEFT's format; raises InputError with the file and what in it cannot be served.

    `embedding` is the base model's: PEFT writes a copy along where a vocabulary has grown, which is then left out.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        _check_inside(folder, folder / name)
    config = check_adapter(folder)
    tensors = _without_embeddings(folder, read_tensors(folder / ADAPTER_WEIGHTS), embedding)
    return _weights(folder, config, tensors, architecture)


def adapter_in_training(model: Any, architecture: Architecture) -> AdapterWeights:
    """Return a copy of the adapter that a PEFT model trains; raises InputError as `read_adapter` does."""
    where = Path("the model in training")
    content = {name: _plain(value) for name, value in model.peft_config["default"].to_dict().items()}
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
    return _weights(where, parse_config(content, AdapterConfig, where), copies, architecture)


def _plain(value: Any) -> Any:
    """Return a value of PEFT's configuration as its file would have it."""
    if isinstance(value, set | tuple):
        return sorted(value)
    return getattr(value, "value", value)


def _check_inside(folder: Path, path: Path) -> None:
    if path.exists() and not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(path, "is a link that leaves its folder, expected the adapter's own file")


def _without_embeddings(
    folder: Path, tensors: Mapping[str, torch.Tensor], embedding: torch.Tensor
) -> dict[str, torch.Tensor]:
    kept = {}
    for name, tensor in tensors.items():
        if not _EMBEDDING.search(name):
            kept[name] = tensor
        elif not _is_same(tensor, embedding):
            message = "holds embeddings other than the base model's, expected lora_A and lora_B of projections alone"
            raise InputError(folder / ADAPTER_WEIGHTS, message, field=name)
    return kept


def _is_same(found: torch.Tensor, base: torch.Tensor) -> bool:
    return found.shape == base.shape and torch.equal(found.to(base.device, base.dtype), base)


def _weights(
    folder: Path, config: AdapterConfig, tensors: Mapping[str, torch.Tensor], architecture: Architecture
) -> AdapterWeights:
    _check_served(folder, config)
    try:
        halves = read_peft(tensors)
    except ValueError as error:
        raise InputError(folder / ADAPTER_WEIGHTS, str(error)) from None
    if not halves:
        raise InputError(folder / ADAPTER_WEIGHTS, "got no weights, expected lora_A and lora_B of projections")
    return AdapterWeights(
        {place: _low_rank(folder, config, place, pair, architecture) for place, pair in halves.items()}
    )


def _check_served(folder: Path, config: AdapterConfig) -> None:
    for name, is_used, does in (
        ("use_dora", config.use_dora, "scales the base model's weights"),
        ("lora_bias", config.lora_bias, "adds a bias"),
        ("bias", config.bias != "none", "replaces the base model's biases"),
        ("target_parameters", bool(config.target_parameters), "changes parameters that are no linear projections"),
    ):
        if is_used:
            got = getattr(config, name)
            message = f"got {got!r}, which {does} and is not served: expected an adapter of lora_A and lora_B alone"
            raise InputError(folder / ADAPTER_CONFIG, message, field=name)


def _low_rank(
    folder: Path,
    config: AdapterConfig,
    place: Place,
    pair: tuple[torch.Tensor, torch.Tensor],
    architecture: Architecture,
) -> LowRank:
    layer, name = place
    path, field = folder / ADAPTER_WEIGHTS, f"layers.{layer} {name}_proj"
    if layer >= architecture.num_layers:
        message = f"is an adapter for another model, which has layers 0 to {architecture.num_layers - 1}"
        raise InputError(path, message, field=field)
    module = f"model.layers.{layer}.{_MODULES[name]}.{name}_proj"
    rank = _patterned(config.rank_pattern, module, config.r)
    alpha = _patterned(config.alpha_pattern, module, config.lora_alpha)
    down, up = pair
    width, out = architecture.widths[name]
    found, expected = (tuple(down.shape), tuple(up.shape)), ((rank, width), (out, rank))
    if found != expected:
        raise InputError(path, f"got {found[0]} and {found[1]}, expected {expected[0]} and {expected[1]}", field=field)
    if not bool(down.isfinite().all() and up.isfinite().all()):
        message = "some weights are not finite, expected numbers; has its training diverged?"
        raise InputError(path, message, field=field)
    return LowRank(down, up, alpha / (sqrt(rank) if config.use_rslora else rank))


def _patterned(pattern: Mapping[str, Number] | None, module: str, otherwise: Number) -> Number:
    """Return what a pattern of PEFT says of a module."""
    known: Mapping[str, Number] = pattern or {}
    return known.get(get_pattern_key([*known], module), otherwise)
