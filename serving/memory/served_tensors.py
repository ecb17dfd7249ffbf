"""What the tensors of an adapter's file must be to be served, whoever reads them. Needs no torch."""

import re
from collections.abc import Iterable
from math import sqrt
from pathlib import Path

from ...kernels.lora.peft_names import Place, places_of
from ...specs.files.errors import InputError
from ...synth.models.model_config import AdapterConfig
from ...synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ..models.projections import Projections
from .served_config import module_of, rank_and_alpha, targets

# PEFT writes a copy of both along where a vocabulary has grown.
EMBEDDING = re.compile(r"base_model\.model\.(?:model\.)?(embed_tokens|lm_head)\.weight")
_HALF = re.compile(r"\.lora_[AB]\.(?:[\w-]+\.)?weight$")
# Of fp32, in which adapters are computed on a CPU.
LARGEST = (2 - 2.0**-23) * 2.0**127


def name_of(place: Place, half: str) -> str:
    """Return the name of a half in PEFT's files."""
    return f"base_model.model.{module_of(place)}.lora_{half}.weight"


def served_places(
    folder: Path, config: AdapterConfig, names: Iterable[str], num_layers: int
) -> dict[Place, tuple[str, str]]:
    """Return the names of A and B of each projection, of a file's tensors without embeddings.

    Raises InputError unless they are those of the projections that the configuration names, and all of them.
    """
    path, names = folder / ADAPTER_WEIGHTS, [*names]
    for name in names:
        if not _HALF.search(name):
            raise InputError(path, "is no part of an adapter that is served, expected lora_A and lora_B", field=name)
    try:
        found = places_of(names)
    except ValueError as error:
        raise InputError(path, str(error)) from None
    if not found:
        raise InputError(path, "got no weights, expected lora_A and lora_B of projections")
    _check_layers(path, found, num_layers)
    _check_named(path, found, targets(config, num_layers))
    return found


def check_shape(
    path: Path, config: AdapterConfig, place: Place, half: str, shape: tuple[int, ...], projections: Projections
) -> None:
    """Raise InputError unless a half has the shape that its rank and the base model's widths give."""
    rank, _ = rank_and_alpha(config, place)
    width, out = projections.widths[place[1]]
    expected = {"A": (rank, width), "B": (out, rank)}[half]
    if shape != expected:
        message = f"got shape {shape}, expected {expected}: rank {rank} by {ADAPTER_CONFIG}"
        raise InputError(path, f"{message}, and a base model of {width} to {out}", field=name_of(place, half))


def scale_of(path: Path, config: AdapterConfig, place: Place, largest_down: float, largest_up: float) -> float:
    """Return by what a projection's product is multiplied; raises InputError if it would overflow.

    The largest absolute values of A and B say what can come of them.
    """
    rank, alpha = rank_and_alpha(config, place)
    scale = alpha / (sqrt(rank) if config.use_rslora else rank)
    largest = max(1.0, largest_down, largest_up) * abs(scale)
    # Of a sum over the rank, and of the up projection times the scale.
    reach = rank * abs(scale) * largest_down * largest_up
    if not max(largest, reach) < LARGEST:
        message = (
            f"some weights are not finite once lora_alpha {alpha} scales them, expected numbers below {LARGEST:.1e}"
        )
        raise InputError(path, f"{message}; has its training diverged?", field=name_of(place, "B"))
    return scale


def not_floating(path: Path, field: str, dtype: str) -> InputError:
    """Return the error of a half whose numbers have a type that is not served."""
    return InputError(path, f"got numbers of type {dtype}, expected floating point of 16, 32 or 64 bits", field=field)


def not_finite(path: Path, field: str) -> InputError:
    """Return the error of a half that holds an infinity, or no number."""
    message = "some weights are not finite, expected numbers; has its training diverged?"
    return InputError(path, message, field=field)


def other_embeddings(path: Path, field: str) -> InputError:
    """Return the error of embeddings that are not the base model's."""
    message = "holds embeddings other than the base model's, expected lora_A and lora_B of projections alone"
    return InputError(path, message, field=field)


def _check_layers(path: Path, found: Iterable[Place], num_layers: int) -> None:
    for place in found:
        if place[0] >= num_layers:
            message = "is an adapter for another model: the base model has no such module, expected layers"
            raise InputError(path, f"{message} 0 to {num_layers - 1}", field=name_of(place, "A"))


def _check_named(path: Path, found: Iterable[Place], named: set[Place]) -> None:
    for place in found:
        if place not in named:
            message = f"got weights that target_modules of {ADAPTER_CONFIG} does not name, expected those it names"
            raise InputError(path, message, field=name_of(place, "A"))
    for place in sorted(named.difference(found)):
        message = f"is missing, expected it, since target_modules of {ADAPTER_CONFIG} names it in the base model"
        raise InputError(path, message, field=name_of(place, "A"))
