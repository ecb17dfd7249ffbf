"""An adapter's two files, checked by the rules of what is served, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ....kernels.lora.peft_names import Place
from ....specs.files.errors import InputError
from ....synth.models.model_config import AdapterConfig, parse_config
from ....synth.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ...memory.served_config import check_served
from ...memory.served_tensors import (
    EMBEDDING,
    check_shape,
    name_of,
    not_finite,
    other_embeddings,
    scale_of,
    served_places,
)
from ...models.projections import Projections
from .cpu_time import TooMuchTime, at_most
from .numbers import largest_of
from .safetensors_header import Tensor, read_header
from .strict_json import strict_object

# Of all patterns of a configuration together. Common ones take milliseconds.
PATTERN_SECONDS = 0.25
Places = dict[Place, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an adapter that can be served: its largest rank, and how many bytes its numbers take."""

    rank: int
    num_bytes: int


def check_files(folder: Path, projections: Projections, max_rank: int) -> Checked:
    """Return what is known of the adapter in a folder; raises InputError, with file and field, if it is not served."""
    config = _config(folder, max_rank)
    path = folder / ADAPTER_WEIGHTS
    with path.open("rb") as file:
        tensors = read_header(file, path, path.stat().st_size)
        places = _places(folder, config, tensors, projections)
        for place, pair in places.items():
            _check_numbers(file, path, config, place, [tensors[name] for name in pair])
    halves = [tensors[name] for pair in places.values() for name in pair]
    return Checked(
        rank=max(tensors[down].shape[0] for down, _ in places.values()),
        num_bytes=sum(tensor.end - tensor.start for tensor in halves),
    )


def _config(folder: Path, max_rank: int) -> AdapterConfig:
    path = folder / ADAPTER_CONFIG
    config = parse_config(strict_object(path.read_bytes(), path), AdapterConfig, path)
    for field, ranks in (("r", [config.r]), ("rank_pattern", (config.rank_pattern or {}).values())):
        for rank in ranks:
            if rank > max_rank:
                raise InputError(path, f"got {rank}, expected at most {max_rank}", field=field)
    return config


def _places(folder: Path, config: AdapterConfig, tensors: dict[str, Tensor], projections: Projections) -> Places:
    """Return whose the tensors are, all of which are used; raises InputError."""
    names = [name for name in tensors if not _is_embedding(folder / ADAPTER_WEIGHTS, name, tensors[name], projections)]
    try:
        with at_most(PATTERN_SECONDS):
            check_served(folder, config)
            places = served_places(folder, config, names, projections.num_layers)
            for place, pair in places.items():
                for half, name in zip("AB", pair, strict=True):
                    check_shape(folder / ADAPTER_WEIGHTS, config, place, half, tensors[name].shape, projections)
    except TooMuchTime:
        message = f"its patterns take more than {PATTERN_SECONDS} s to match, expected names of modules or simple ones"
        raise InputError(folder / ADAPTER_CONFIG, message, field="target_modules, rank_pattern") from None
    return places


def _is_embedding(path: Path, name: str, tensor: Tensor, projections: Projections) -> bool:
    """Return whether a tensor may be a copy of the base model's embeddings, which the engine compares with its own."""
    if not EMBEDDING.fullmatch(name):
        return False
    if tensor.shape[1:] != projections.widths["q"][:1]:
        raise other_embeddings(path, name)
    return True


def _check_numbers(file: BinaryIO, path: Path, config: AdapterConfig, place: Place, pair: list[Tensor]) -> None:
    largest = []
    for half, tensor in zip("AB", pair, strict=True):
        found = largest_of(file, tensor)
        if found is None:
            raise not_finite(path, name_of(place, half))
        largest.append(found)
    scale_of(path, config, place, *largest)
