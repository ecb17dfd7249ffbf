"""LoRA adapters as PEFT writes them: from a folder, or from a model in training without a detour over the disk."""

import re
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict

from ...kernels.lora.adapter_pages import read_peft
from ...specs.files.errors import InputError
from ...synth.models.adapter_files import read_tensors
from ...synth.models.model_config import AdapterConfig, parse_config
from ...synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from ..models.architecture import Architecture
from .adapter_weights import AdapterWeights, LowRank, Place
from .served_config import check_served, module_of, rank_and_alpha, targets

_EMBEDDING = re.compile(r"base_model\.model\.(?:model\.)?(embed_tokens|lm_head)\.weight")
_HALF = re.compile(r"\.lora_[AB]\.(?:[\w-]+\.)?weight$")
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LARGEST = torch.finfo(torch.float32).max


def read_adapter(folder: Path, architecture: Architecture, embeddings: Mapping[str, torch.Tensor]) -> AdapterWeights:
    """Return an adapter in PEFT's format; raises InputError with the file and what in it cannot be served.

    `embeddings` are the base model's `embed_tokens` and `lm_head`, [vocab_size, hidden_size]: PEFT writes a copy of
    both along where a vocabulary has grown, which is then left out.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        _check_inside(folder, folder / name)
    config = check_adapter(folder)
    check_served(folder, config)
    tensors = _without_embeddings(folder, read_tensors(folder / ADAPTER_WEIGHTS), embeddings)
    return _weights(folder, config, tensors, architecture)


def adapter_in_training(model: Any, architecture: Architecture) -> AdapterWeights:
    """Return a copy of the adapter that a PEFT model trains; raises InputError as `read_adapter` does."""
    where = Path("the model in training")
    content = {name: _plain(value) for name, value in model.peft_config["default"].to_dict().items()}
    config = parse_config(content, AdapterConfig, where)
    check_served(where, config)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
    return _weights(where, config, copies, architecture)


def _plain(value: Any) -> Any:
    """Return a value of PEFT's configuration as its file would have it."""
    if isinstance(value, set | tuple):
        return sorted(value)
    return getattr(value, "value", value)


def _check_inside(folder: Path, path: Path) -> None:
    if path.exists() and not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(path, "is a link that leaves its folder, expected the adapter's own file")


def _without_embeddings(
    folder: Path, tensors: Mapping[str, torch.Tensor], embeddings: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    kept = {}
    for name, tensor in tensors.items():
        if not (found := _EMBEDDING.fullmatch(name)):
            kept[name] = tensor
        elif not _is_same(tensor, embeddings[found[1]]):
            message = "holds embeddings other than the base model's, expected lora_A and lora_B of projections alone"
            raise InputError(folder / ADAPTER_WEIGHTS, message, field=name)
    return kept


def _is_same(found: torch.Tensor, base: torch.Tensor) -> bool:
    return found.shape == base.shape and torch.equal(found.to(base.device, base.dtype), base)


def _weights(
    folder: Path, config: AdapterConfig, tensors: Mapping[str, torch.Tensor], architecture: Architecture
) -> AdapterWeights:
    path = folder / ADAPTER_WEIGHTS
    for name in tensors:
        if not _HALF.search(name):
            raise InputError(path, "is no part of an adapter that is served, expected lora_A and lora_B", field=name)
    try:
        halves = read_peft(tensors)
    except ValueError as error:
        raise InputError(path, str(error)) from None
    if not halves:
        raise InputError(path, "got no weights, expected lora_A and lora_B of projections")
    _check_places(folder, config, [*halves], architecture)
    return AdapterWeights({place: _low_rank(path, config, place, pair, architecture) for place, pair in halves.items()})


def _check_places(folder: Path, config: AdapterConfig, found: list[Place], architecture: Architecture) -> None:
    """Raise InputError unless the weights are those of the projections that the configuration names."""
    path, last = folder / ADAPTER_WEIGHTS, architecture.num_layers - 1
    for place in found:
        if place[0] > last:
            message = f"is an adapter for another model: the base model has no such module, expected layers 0 to {last}"
            raise InputError(path, message, field=_name(place, "A"))
    named = targets(config, architecture)
    for place in found:
        if place not in named:
            message = f"got weights that target_modules of {ADAPTER_CONFIG} does not name, expected those it names"
            raise InputError(path, message, field=_name(place, "A"))
    for place in sorted(named.difference(found)):
        message = f"is missing, expected it, since target_modules of {ADAPTER_CONFIG} names it in the base model"
        raise InputError(path, message, field=_name(place, "A"))


def _low_rank(
    path: Path,
    config: AdapterConfig,
    place: Place,
    pair: tuple[torch.Tensor, torch.Tensor],
    architecture: Architecture,
) -> LowRank:
    rank, alpha = rank_and_alpha(config, place)
    width, out = architecture.widths[place[1]]
    for half, tensor, shape in zip("AB", pair, ((rank, width), (out, rank)), strict=True):
        field = _name(place, half)
        if tensor.dtype not in _DTYPES:
            raise InputError(path, f"got numbers of type {tensor.dtype}, expected floating point", field=field)
        if tuple(tensor.shape) != shape:
            message = f"got shape {tuple(tensor.shape)}, expected {shape}: rank {rank} by {ADAPTER_CONFIG}"
            raise InputError(path, f"{message}, and a base model of {width} to {out}", field=field)
        if not bool(tensor.isfinite().all()):
            message = "some weights are not finite, expected numbers; has its training diverged?"
            raise InputError(path, message, field=field)
    scale = alpha / (sqrt(rank) if config.use_rslora else rank)
    largest = max(1.0, *(float(half.abs().max()) for half in pair)) * abs(scale)
    # Of a sum over the rank, and of the up projection times the scale.
    reach = rank * abs(scale) * float(pair[0].abs().max()) * float(pair[1].abs().max())
    if not max(largest, reach) < LARGEST:
        message = (
            f"some weights are not finite once lora_alpha {alpha} scales them, expected numbers below {LARGEST:.1e}"
        )
        raise InputError(path, f"{message}; has its training diverged?", field=_name(place, "B"))
    return LowRank(*pair, scale)


def _name(place: Place, half: str) -> str:
    """Return the name of a half in PEFT's files."""
    return f"base_model.model.{module_of(place)}.lora_{half}.weight"
