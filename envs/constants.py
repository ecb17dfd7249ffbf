"""The named constants of the simulation: thresholds of the labels, speeds, distances and durations."""

from types import ModuleType
from typing import Any

from . import (
    crossroads,
    divided_road,
    ego_car,
    junction_env,
    junction_road,
    labeller,
    layout,
    path,
    path_car,
    pedestrian,
    right_of_way,
    ring,
    traffic,
    traffic_car,
    traffic_light,
    walkers,
)

_MODULES = (
    crossroads,
    divided_road,
    ego_car,
    junction_env,
    junction_road,
    labeller,
    layout,
    path,
    path_car,
    pedestrian,
    right_of_way,
    ring,
    traffic,
    traffic_car,
    traffic_light,
    walkers,
)


def constants() -> dict[str, Any]:
    """Return the constants of all modules that decide what happens in an episode, and of their classes, by name."""
    return {name: value for module in _MODULES for name, value in _of(module, module.__name__).items()}


def _of(owner: object, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in sorted(vars(owner).items()):
        if name.isupper() and isinstance(value, int | float | str | tuple | dict):
            found[f"{prefix}.{name}"] = value
        elif isinstance(owner, ModuleType) and isinstance(value, type) and value.__module__ == owner.__name__:
            found |= _of(value, f"{prefix}.{name}")
    return found
