"""An adapter's files in PEFT's format: what they must hold before PEFT reads them, which takes more than it should."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ...specs.files.errors import InputError
from .model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter

# As PEFT writes them: of linear layers, of embeddings, and what DoRA, KaSA, VeLoRA and MonteCLoRA add of their own.
_OWN = re.compile(
    r"base_model\.model\.(.+)\.(?:lora_[AB]\.weight|lora_B\.bias|lora_embedding_[AB]|lora_magnitude_vector|lora_diag"
    r"|lora_velora_embed|lora_monteclora_sampler(?:\.\w+)+)"
)
_PREFIX = "base_model.model."


def own_tensors(folder: Path, model: nn.Module) -> dict[str, torch.Tensor]:
    """Return an adapter's tensors by their names in its file.

    PEFT would load any other tensor over the base model's own. Only embeddings may be there, which PEFT writes along
    when a vocabulary has grown, and only as the base model has them. Raises InputError with the name of what is odd.
    """
    config = check_adapter(folder)
    path = folder / ADAPTER_WEIGHTS
    tensors = read_tensors(path)
    modules = dict(model.named_modules())
    kept = dict(_embeddings(model))
    is_tied = len(kept) == 2 and len({tensor.data_ptr() for tensor in kept.values()}) == 1
    own = {}
    for name, tensor in tensors.items():
        if found := _OWN.fullmatch(name):
            if found[1] not in modules:
                message = "is an adapter for another model: the base model has no such module"
                raise InputError(path, f"{message}, expected one of its linear layers", field=name)
            if is_tied and f"{_PREFIX}{found[1]}.weight" in kept:
                message = (
                    "adapts one of the base model's embeddings, which are tied: merged into it, it would change both"
                )
                raise InputError(path, message, field=name)
            own[name] = tensor
        elif config.bias != "none" and name.endswith(".bias"):
            message = f"got {config.bias!r}, which is not supported, because it replaces the base model's {name}"
            raise InputError(folder / ADAPTER_CONFIG, f"{message}: expected 'none'", field="bias")
        elif name.replace(".base_layer.", ".") not in kept:
            raise InputError(path, "is no part of an adapter, expected lora_A and lora_B of modules alone", field=name)
        elif not _same(kept[name.replace(".base_layer.", ".")], tensor):
            message = "holds embeddings other than the base model's, expected lora_A and lora_B of modules alone"
            raise InputError(path, message, field=name)
    return own


def read_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file; raises InputError as `read_tensors` does."""
    with _opened(path) as file:
        return list(file.keys())


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return what a safetensors file holds; raises InputError for a file that is cut, too large or no such file."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(path, f"cannot be read: {error}: expected a whole safetensors file") from None


def _embeddings(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    both = (model.get_input_embeddings(), model.get_output_embeddings())
    for name, module in model.named_modules():
        if any(module is embedding for embedding in both):
            yield f"{_PREFIX}{name}.weight", module.weight


def _same(base: torch.Tensor, found: torch.Tensor) -> bool:
    return torch.equal(base, found.to(base.device, base.dtype))
