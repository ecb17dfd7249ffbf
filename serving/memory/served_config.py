"""What an adapter's configuration must say to be served, and which projections it names. Needs no torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from ...kernels.lora.peft_names import Place
from ...specs.files.errors import InputError
from ...synth.models.model_config import AdapterConfig
from ...synth.models.model_files import ADAPTER_CONFIG
from .peft_patterns import expressions, is_named, key_of

Number = TypeVar("Number", int, float)

# Where a projection stands in the models that are served; PEFT matches its patterns against such names.
_MODULES = dict.fromkeys("qkvo", "self_attn") | dict.fromkeys(("gate", "up", "down"), "mlp")
ALL_LINEAR = tuple(f"{name}_proj" for name in _MODULES)
# What PEFT takes where nothing is named, for all models that are served.
DEFAULT_TARGETS = ("q_proj", "v_proj")
_REFUSED = {
    "use_dora": "scales the base model's weights",
    "lora_bias": "adds a bias",
    "target_parameters": "changes parameters that are no linear projections",
    "kasa_config": "scales each rank",
    "velora_config": "changes what is trained with tensors of its own",
    "monteclora_config": "draws its weights with tensors of its own",
    "use_qalora": "sums up its input in groups",
    "use_bdlora": "is cut into blocks",
}
# PEFT takes from the base model's weights, as it loads them, what an adapter begins with in one of these ways.
_TAKEN_FROM_BASE = re.compile(r"(?:pissa|corda|olora|loftq|lora_ga)(?:_niter_\d+)?", re.IGNORECASE)


def module_of(place: Place) -> str:
    """Return the name of a projection's module."""
    layer, name = place
    return f"model.layers.{layer}.{_MODULES[name]}.{name}_proj"


def check_served(folder: Path, config: AdapterConfig) -> None:
    """Raise InputError, with the field, for an adapter that is more than lora_A and lora_B of projections."""
    does = {name: why for name, why in _REFUSED.items() if getattr(config, name)}
    if config.bias != "none":
        does["bias"] = "replaces the base model's biases"
    for name, why in does.items():
        got = getattr(config, name)
        message = f"got {got!r}, which {why} and is not served: expected an adapter of lora_A and lora_B alone"
        raise InputError(folder / ADAPTER_CONFIG, message, field=name)
    begins = config.init_lora_weights
    if isinstance(begins, str) and _TAKEN_FROM_BASE.fullmatch(begins):
        message = (
            f"got {begins!r}, which changes the base model's weights and is not served: expected an adapter that PEFT"
            " has saved with path_initial_model_for_weight_conversion"
        )
        raise InputError(folder / ADAPTER_CONFIG, message, field="init_lora_weights")
    for name, pattern, expression in expressions(config):
        try:
            # Alone, and as it is matched, which not all are that are one alone.
            re.compile(pattern)
            re.compile(expression)
        except re.error as error:
            message = f"got {pattern!r}, expected a regular expression: {error}"
            raise InputError(folder / ADAPTER_CONFIG, message, field=name) from None


def targets(config: AdapterConfig, num_layers: int) -> set[Place]:
    """Return the projections that a configuration names; it has passed `check_served`."""
    named = config.target_modules
    if named is None or named == []:
        named = [*DEFAULT_TARGETS]
    elif isinstance(named, str) and named.lower() == "all-linear":
        named = [*ALL_LINEAR]
    resolved = config.model_copy(update={"target_modules": named})
    places = [(layer, name) for layer in range(num_layers) for name in _MODULES]
    return {place for place in places if is_named(resolved, module_of(place))}


def rank_and_alpha(config: AdapterConfig, place: Place) -> tuple[int, float]:
    """Return what a configuration says of a projection."""
    module = module_of(place)
    rank, alpha = config.rank_pattern or {}, config.alpha_pattern or {}
    return _patterned(rank, module, config.r), _patterned(alpha, module, config.lora_alpha)


def _patterned(pattern: Mapping[str, Number], module: str, otherwise: Number) -> Number:
    """Return what a pattern of PEFT says of a module."""
    key = key_of(pattern, module)
    return otherwise if key is None else pattern[key]
