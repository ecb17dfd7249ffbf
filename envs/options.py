"""The options of the environments that have a range."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

LEAST_WHOLE = {"simulation_frequency": 5, "screen_width": 16, "screen_height": 16}
"""The least value of those that are whole numbers."""
LEAST = {"duration": 1.0, "cars_per_minute": 0.0, "pedestrians_per_minute": 0.0, "scaling": 0.1}
"""The least value of those that are finite numbers."""
SWITCHES = ("real_time_rendering", "left_arrow")
"""Those that are true or false; not every environment has all of them."""


def check_options(owner: str, config: Mapping[str, Any]) -> None:
    """Raise ValueError, which names owner and option, for a value that makes no sense."""
    for name, least in LEAST_WHOLE.items():
        _check(owner, config, name, _is_number(config[name]) and config[name] % 1 == 0, least, "a whole number from")
    for name, bound in LEAST.items():
        _check(owner, config, name, _is_number(config[name]), bound, "a finite number from")
    for name in SWITCHES:
        if not isinstance(config.get(name, False), bool):
            raise ValueError(f"{name} of {owner}: expected true or false, got {config[name]!r}")
    centre = config["centering_position"]
    if not (isinstance(centre, list | tuple) and len(centre) == 2 and all(map(_is_number, centre))):
        raise ValueError(f"centering_position of {owner}: expected two finite numbers, got {centre!r}")


def _check(owner: str, config: Mapping[str, Any], name: str, fits: bool, least: float, kind: str) -> None:
    if not (fits and config[name] >= least):
        raise ValueError(f"{name} of {owner}: expected {kind} {least:g} on, got {config[name]!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
