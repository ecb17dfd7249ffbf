"""The controllers whose verdicts pin the semantics."""

from verilora.specs.domain import Domain
from verilora.specs.logic import Bdd, Formula, boolean_diagram, spot
from verilora.specs.task import Task
from verilora.synth.controllers.controller import Controller, Edge

CLEAR_GREEN = (
    "green_traffic_light & !car_from_left & !pedestrian_at_left & !pedestrian_at_right & !pedestrian_in_front"
    " & !stop_sign"
)
CLEAR_GREEN_STEPS = (
    "green traffic light and no car from left and no pedestrian at left and no pedestrian at right "
    "and no pedestrian in front and no stop sign"
)
BEFORE = """1. if green traffic light, go straight
2. observe car from left
3. if no car from left, stop
4. if no pedestrian at right, turn right"""
AFTER = """1. observe car from left and pedestrian at right
2. if no car from left and no pedestrian at right, turn right"""
AFTER_LOOPING = f"{AFTER}\n3. go to step 1"
"""It keeps the paper's fifteen rules, and turns on red into the way of an oncoming car."""
YIELDING = "1. wait until no car from left and no opposite car and no pedestrian at right, then turn right\n2. stop"
"""It keeps the default book at lights."""


def guard_of(formula: str) -> Bdd:
    """Return the letters of a Boolean formula over names."""
    return boolean_diagram(spot.formula(formula))


def guarded_right(domain: Domain) -> Controller:
    guard = guard_of(CLEAR_GREEN)
    return Controller(domain.vocabulary, ((Edge(guard, "turn_right", 0), Edge(-guard, "stop", 0)),), ("drive",), 2)


def lagged(controller: Controller) -> Controller:
    """Return the machine that gives each action one instant late, the idle one first."""
    idle = controller.vocabulary.idle
    nodes = [(0, idle)]
    states = []
    for state, action in nodes:
        edges = []
        for edge in controller.states[state]:
            target = (edge.target, edge.action)
            if target not in nodes:
                nodes.append(target)
            edges.append(Edge(edge.guard, action, nodes.index(target)))
        states.append(tuple(edges))
    return Controller(controller.vocabulary, tuple(states), tuple(map(str, nodes)), controller.num_steps)


def task_in(world: str, goal: str = "stop U turn_right") -> Task:
    """Return a task that is nothing but a world and a goal."""
    return Task(
        id=f"{goal} in {world}", english="", world=world, goal=Formula(goal), relevant=(), split="train", wordings={}
    )
