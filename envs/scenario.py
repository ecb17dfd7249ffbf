"""Which environment simulates which world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import gymnasium

from ..specs.files.errors import expected_one_of
from . import register as register


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world of `worlds.yaml`, the environment that simulates it, and the options it needs."""

    world: str
    env_id: str
    config: Mapping[str, Any] = field(default_factory=dict)


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.world: scenario
        for scenario in (
            Scenario(world="traffic_light", env_id="verilora/SignalIntersection-v0", config={"left_arrow": False}),
            Scenario(world="left_turn_light", env_id="verilora/SignalIntersection-v0", config={"left_arrow": True}),
            Scenario(world="two_way_stop", env_id="verilora/TwoWayStop-v0"),
            Scenario(world="wide_median", env_id="verilora/WideMedian-v0"),
            Scenario(world="roundabout", env_id="verilora/Roundabout-v0"),
        )
    }
)
"""The scenario of every simulated world, by the world's name."""


def make_env(world: str, *, render_mode: str | None = None, **config: Any) -> gymnasium.Env[Any, Any]:
    """Return the environment of a world, with options; raises ValueError for an unknown world or option."""
    if world not in SCENARIOS:
        raise ValueError(f"no simulated world: {expected_one_of(world, SCENARIOS)}")
    scenario = SCENARIOS[world]
    return gymnasium.make(scenario.env_id, render_mode=render_mode, config={**scenario.config, **config})
