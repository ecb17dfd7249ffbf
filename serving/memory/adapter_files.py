"""LoRA adapters as PEFT writes them: from a folder, or from a model in training without a detour over the disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict

from ...kernels.lora.peft_names import Place
from ...specs.files.errors import InputError
from ...synth.models.adapter_files import read_tensors
from ...synth.models.model_config import AdapterConfig, parse_config
from ...synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from ..models.architecture import Architecture
from ..models.projections import Projections
from .adapter_weights import AdapterWeights, LowRank
from .served_config import check_served
from .served_tensors import (
    EMBEDDING,
    check_shape,
    name_of,
    not_finite,
    not_floating,
    other_embeddings,
    scale_of,
    served_places,
)

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


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
        if not (found := EMBEDDING.fullmatch(name)):
            kept[name] = tensor
        elif not _is_same(tensor, embeddings[found[1]]):
            raise other_embeddings(folder / ADAPTER_WEIGHTS, name)
    return kept


def _is_same(found: torch.Tensor, base: torch.Tensor) -> bool:
    return found.shape == base.shape and torch.equal(found.to(base.device, base.dtype), base)


def _weights(
    folder: Path, config: AdapterConfig, tensors: Mapping[str, torch.Tensor], architecture: Architecture
) -> AdapterWeights:
    named = served_places(folder, config, tensors, architecture.num_layers)
    pairs = {place: (tensors[down], tensors[up]) for place, (down, up) in named.items()}
    path, projections = folder / ADAPTER_WEIGHTS, architecture.projections
    return AdapterWeights({place: _low_rank(path, config, place, pair, projections) for place, pair in pairs.items()})


def _low_rank(
    path: Path,
    config: AdapterConfig,
    place: Place,
    pair: tuple[torch.Tensor, torch.Tensor],
    projections: Projections,
) -> LowRank:
    for half, tensor in zip("AB", pair, strict=True):
        field = name_of(place, half)
        if tensor.dtype not in _DTYPES:
            raise not_floating(path, field, str(tensor.dtype))
        check_shape(path, config, place, half, tuple(tensor.shape), projections)
        if not bool(tensor.isfinite().all()):
            raise not_finite(path, field)
    down, up = (float(half.abs().max()) for half in pair)
    return LowRank(*pair, scale_of(path, config, place, down, up))
