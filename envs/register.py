"""Importing this module registers the environments with gymnasium."""

import gymnasium

ENTRY_POINTS = {
    "verilora/SignalIntersection-v0": "verilora.envs.signal_intersection:SignalIntersection",
    "verilora/TwoWayStop-v0": "verilora.envs.two_way_stop:TwoWayStop",
    "verilora/WideMedian-v0": "verilora.envs.wide_median:WideMedian",
    "verilora/Roundabout-v0": "verilora.envs.roundabout:Roundabout",
}
"""The class of every environment, by its id."""

for env_id, entry_point in ENTRY_POINTS.items():
    if env_id not in gymnasium.registry:
        gymnasium.register(id=env_id, entry_point=entry_point)
