"""Which modules an adapter's configuration names, by the rules of PEFT. Needs neither PEFT nor torch."""

import re
from collections.abc import Iterable, Iterator

from ...synth.models.model_config import AdapterConfig

_LAYER = r"(?P<idx>\d+)\."


def is_named(config: AdapterConfig, module: str) -> bool:
    """Return whether a module is one that `target_modules`, `exclude_modules` and `layers_to_transform` name.

    `target_modules` is not None.
    """
    if config.exclude_modules and _matches(config.exclude_modules, module):
        return False
    targets = config.target_modules
    assert targets is not None, "the caller says what is meant where nothing is named"
    if not _matches(targets, module):
        return False
    # PEFT looks at layers only where modules are listed, and where one is not listed by its whole name.
    if isinstance(targets, str) or module in targets or config.layers_to_transform in (None, []):
        return True
    layers = config.layers_to_transform
    return _layer_of(module, config.layers_pattern) in ([layers] if isinstance(layers, int) else layers or [])


def key_of(patterns: Iterable[str], module: str) -> str | None:
    """Return the first pattern of `rank_pattern` or `alpha_pattern` that is about a module, None if none is."""
    return next((pattern for pattern in patterns if re.match(_ending_in(pattern), module)), None)


def expressions(config: AdapterConfig) -> Iterator[tuple[str, str, str]]:
    """Yield what is taken for regular expressions: the field, what it holds, and the expression that is matched."""
    for name in ("target_modules", "exclude_modules"):
        if isinstance(value := getattr(config, name), str):
            yield name, value, value
    for value in _listed(config.layers_pattern):
        yield "layers_pattern", value, _in_layers(value)
    for name in ("rank_pattern", "alpha_pattern"):
        for value in getattr(config, name) or {}:
            yield name, value, _ending_in(value)


def _matches(named: str | list[str], module: str) -> bool:
    if isinstance(named, str):
        return re.fullmatch(named, module) is not None
    return module in named or any(module.endswith(f".{name}") for name in named)


def _layer_of(module: str, layers_pattern: str | list[str] | None) -> int | None:
    patterns = [_in_layers(value) for value in _listed(layers_pattern)] or [rf".*?\.[^.]*\.{_LAYER}"]
    found = next((match for pattern in patterns if (match := re.match(pattern, module))), None)
    return int(found["idx"]) if found else None


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) and value else [*(value or [])]


def _in_layers(pattern: str) -> str:
    return rf"(?:^|.*?\.){pattern}\.{_LAYER}"


def _ending_in(pattern: str) -> str:
    return rf"(.*\.)?({pattern})$"
