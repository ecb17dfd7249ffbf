import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from verilora.specs.logic import buddy
from verilora.specs.vocabulary import Vocabulary, Word
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.condition import guard_text
from verilora.synth.controllers.controller import Controller, Edge, Ending, Reading, always
from verilora.synth.controllers.drawing import draw_controller

from controllers import guard_of
from strategies import DRIVING, controllers

# Left, top, right, bottom.
Box = tuple[float, float, float, float]
SVG = "{http://www.w3.org/2000/svg}"

GUARDED = """1. observe green traffic light
2. if no car from left and no pedestrian at right, turn right"""
WAITING = """1. observe stop sign
2. wait until no car from left and no car from right
3. if pedestrian in front, go to step 2, otherwise go straight
4. turn left"""
JUMPING = """1. observe green traffic light and green left-turn light
2. if green left-turn light, go to step 6
3. if no green traffic light, go to step 1
4. if opposite car or pedestrian at left, stop, otherwise go to step 7
5. go to step 3
6. wait until no pedestrian at left then turn left
7. if no opposite car and no pedestrian in front, turn left, otherwise go to step 2
8. go straight"""
LONG = """1. wait until green traffic light or (no car from left and no stop sign) or (stop sign and no car from left)
2. if green left-turn light or no opposite car or no pedestrian in front or stop sign, go straight, otherwise stop"""
TWELVE = """1. observe stop sign
2. wait until no car from left and no car from right
3. if pedestrian in front, stop, otherwise go straight
4. if green traffic light, go straight, otherwise go to step 2
5. if side car, go to step 1, otherwise turn left
6. if opposite car or stop sign, go to step 12, otherwise turn right
7. observe pedestrian at left
8. if pedestrian at left, go to step 4, otherwise turn left
9. wait until green left-turn light then turn left
10. if car from right, stop, otherwise turn right
11. if stop sign, go to step 7, otherwise go straight
12. if no opposite car and (green traffic light or no pedestrian in front), go straight, otherwise go to step 5"""


def parsed(text: str, ending: Ending = Ending.PATROL) -> Controller:
    return parse_controller(text, Alignment(DRIVING), Reading(ending=ending), max_steps=12)


def forking(num_states: int) -> Controller:
    """Return a machine with an edge from every state to every state."""
    names = DRIVING.proposition_ids[:4]
    letters = [
        " & ".join(f"{'' if bits >> i & 1 else '!'}{name}" for i, name in enumerate(names)) for bits in range(16)
    ]
    edges = [(guard_of(letter), DRIVING.action_ids[bits % 4], bits % num_states) for bits, letter in enumerate(letters)]
    states = tuple(tuple(Edge(*edge) for edge in edges) for _ in range(num_states))
    return Controller(DRIVING, states, tuple(f"state {state}" for state in range(num_states)), num_states)


CONTROLLERS = [
    pytest.param(parsed(GUARDED), id="guarded"),
    pytest.param(parsed(WAITING), id="waiting"),
    pytest.param(parsed(WAITING, Ending.ONE_SHOT), id="one-shot"),
    pytest.param(parsed(JUMPING), id="jumping"),
    pytest.param(parsed(LONG), id="long guards"),
    pytest.param(parsed(TWELVE), id="twelve states"),
    pytest.param(always("stop", DRIVING), id="always idle"),
    pytest.param(always("turn_left", DRIVING), id="always active"),
    pytest.param(forking(5), id="five states, all edges"),
    pytest.param(forking(12), id="twelve states, all edges"),
]
each_controller = pytest.mark.parametrize("controller", CONTROLLERS)


def drawn(controller: Controller) -> ElementTree.Element:
    return ElementTree.fromstring(draw_controller(controller))


def groups(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return root.findall(f"{SVG}g[@class='{kind}']")


def ends(edge: ElementTree.Element) -> tuple[int, int]:
    return int(edge.attrib["data-from"]), int(edge.attrib["data-to"])


def words(element: ElementTree.Element) -> str:
    return " ".join(" ".join(line.itertext()) for line in element.iter(f"{SVG}text")).replace("  ", " ")


def text_boxes(element: ElementTree.Element) -> list[Box]:
    """Return where lines of text are, if a character of 12 px font is 7.2 px wide."""
    boxes = []
    for line in element.iter(f"{SVG}text"):
        x, y, width = float(line.attrib["x"]), float(line.attrib["y"]), 7.2 * len("".join(line.itertext()))
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[line.attrib["text-anchor"]]
        boxes.append((left, y - 11, left + width, y + 4))
    return boxes


def state_boxes(root: ElementTree.Element) -> list[Box]:
    rects = [rect for group in groups(root, "state") for rect in group.iter(f"{SVG}rect")]
    numbers = [[float(rect.attrib[name]) for name in ("x", "y", "width", "height")] for rect in rects]
    return [(x, y, x + width, y + height) for x, y, width, height in numbers]


def segments(edge: ElementTree.Element) -> list[Box]:
    """Return the boxes of the straight lines that an edge consists of; its rounded corners count as lines, too."""
    (path,) = edge.iter(f"{SVG}path")
    points: list[tuple[float, float]] = []
    for command, text in re.findall(r"([MHVLQha])([^A-Za-z]*)", path.attrib["d"]):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", text)]
        x, y = points[-1] if points else (0, 0)
        ends_at = {"H": (numbers[0], y), "V": (x, numbers[0]), "h": (x + numbers[0], y)}
        relative = (x + numbers[-2], y + numbers[-1]) if command == "a" else None
        points.append(ends_at.get(command) or relative or (numbers[-2], numbers[-1]))
    return [(min(x, v), min(y, w), max(x, v), max(y, w)) for (x, y), (v, w) in pairwise(points)]


def touch(one: Box, other: Box) -> bool:
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def thick(box: Box) -> Box:
    return box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1


def check_layout(root: ElementTree.Element) -> None:
    edges = groups(root, "edge")
    texts = [box for edge in edges for box in text_boxes(edge)]
    lines = {ends(edge): [thick(box) for box in segments(edge)] for edge in edges}
    states = state_boxes(root)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for left, top, right, bottom in [*texts, *states, *(line for path in lines.values() for line in path)]:
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    for one, other in combinations([*texts, *states], 2):
        assert not touch(one, other)
    for path in lines.values():
        assert not any(touch(line, text) for line in path for text in texts)
    for one_path, other_path in combinations(lines.values(), 2):
        assert not any(is_along(one, other) for one in one_path for other in other_path)


def is_along(one: Box, other: Box) -> bool:
    """Return whether two lines run along each other; lines that cross do not."""
    return touch(one, other) and any(max(one[i], other[i]) + 3 < min(one[i + 2], other[i + 2]) for i in (0, 1))


@each_controller
def test_layout(controller: Controller) -> None:
    check_layout(drawn(controller))


@settings(max_examples=40, deadline=None)
@given(controllers(DRIVING, max_states=12))
def test_layout_of_any_controller(controller: Controller) -> None:
    check_layout(drawn(controller))


@each_controller
def test_nested_arrows_do_not_cross(controller: Controller) -> None:
    edges = {ends(edge): segments(edge) for edge in groups(drawn(controller), "edge")}
    bent = {ends: path for ends, path in edges.items() if ends[0] - ends[1] not in (0, -1)}
    for (one, outer), (other, inner) in combinations(bent.items(), 2):
        same_side = (one[0] < one[1]) == (other[0] < other[1])
        contained = min(one) <= min(other) and max(other) <= max(one)
        contains = min(other) <= min(one) and max(one) <= max(other)
        if same_side and (contained or contains):
            assert not any(touch(thick(line), thick(crossed)) for line in outer for crossed in inner)


@each_controller
def test_one_group_for_each_state_and_each_pair_of_linked_states(controller: Controller) -> None:
    root = drawn(controller)
    assert [words(state) for state in groups(root, "state")] == list(controller.names)
    linked = {(state, edge.target) for state, edges in enumerate(controller.states) for edge in edges}
    assert sorted(map(ends, groups(root, "edge"))) == sorted(linked)
    tops = [box[1] for box in state_boxes(root)]
    assert tops == sorted(tops)


@each_controller
def test_every_edge_is_labelled_and_only_actions_that_are_not_idle_stand_out(controller: Controller) -> None:
    drawing = {ends(edge): edge for edge in groups(drawn(controller), "edge")}
    english, idle = DRIVING.english, DRIVING.english[DRIVING.idle]
    for state, edges in enumerate(controller.states):
        for edge in edges:
            assert f"{guard_text(edge.guard, DRIVING)} → {english[edge.action]}" in words(drawing[state, edge.target])
    for action in (action for group in drawing.values() for action in group.iter(f"{SVG}tspan")):
        assert ("font-weight" in action.attrib) == (action.text != idle)
    assert max(len("".join(line.itertext())) for group in drawing.values() for line in group.iter(f"{SVG}text")) <= 46


def test_an_arrow_enters_the_first_state_only() -> None:
    root = drawn(parsed(WAITING))
    (start,) = groups(root, "start")
    (tip,) = re.findall(r"^\d+,(\d+) ", next(start.iter(f"{SVG}polygon")).attrib["points"])
    assert float(tip) == state_boxes(root)[0][1]


def test_accessible_and_opaque() -> None:
    root = drawn(parsed(WAITING, Ending.ONE_SHOT))
    assert root.attrib["role"] == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "Controller of 5 states that starts in step 1"
    assert root[1].attrib == {"width": root.attrib["width"], "height": root.attrib["height"], "fill": "#ffffff"}


def test_names_and_words_are_escaped() -> None:
    tea = Word.model_construct(id="tea", english="<tea> & 'milk'", synonyms=())
    rest = Word.model_construct(id="rest", english='"rest" > 1 & < 2', synonyms=())
    words_of_it = Vocabulary.model_construct(
        propositions=(tea,), actions=(rest, Word(id="go", english="go")), idle="go"
    )
    states = ((Edge(guard_of("tea"), "rest", 0), Edge(guard_of("!tea"), "go", 0)),)
    root = drawn(Controller(words_of_it, states, ("a < b & c",), 1))
    assert words(groups(root, "state")[0]) == "a < b & c"
    assert words(groups(root, "edge")[0]) == "<tea> & 'milk' → \"rest\" > 1 & < 2 no <tea> & 'milk' → go"


def test_a_word_too_long_for_a_line_widens_the_drawing() -> None:
    endless = Vocabulary(
        propositions=(Word(id="p", english="p" * 90),),
        actions=(Word(id="a", english="a" * 70), Word(id="b", english="b c " * 20 + "d")),
        idle="a",
    )
    states = (
        (Edge(guard_of("p"), "a", 1), Edge(guard_of("!p"), "b", 0)),
        (Edge(buddy.bddtrue, "b", 0),),
    )
    check_layout(drawn(Controller(endless, states, ("s" * 60, "t"), 2)))


@each_controller
def test_deterministic(controller: Controller) -> None:
    copy = Controller(controller.vocabulary, controller.states, controller.names, controller.num_steps)
    assert draw_controller(controller) == draw_controller(copy)
