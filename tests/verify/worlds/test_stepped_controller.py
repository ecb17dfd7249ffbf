"""Controllers stepped along letters."""

from verilora.specs.domain import load_domain
from verilora.specs.logic import Bdd, letter_diagram
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Ending, Reading
from verilora.verify.worlds.stepped_controller import SteppedController, letter_runs

VOCABULARY = load_domain("driving").vocabulary
CLEAR, CAR = 0, 1
STEPS = "1. wait until no car from left, then go straight\n2. stop"


def diagram(letter: int) -> Bdd:
    """Return the letter whose one bit says that a car comes from the left."""
    others = [name for name in VOCABULARY.proposition_ids if name != "car_from_left"]
    return letter_diagram(("car_from_left",), others) if letter else letter_diagram((), ("car_from_left", *others))


def stepped(ending: Ending, asked: list[int]) -> SteppedController:
    def remembered(letter: int) -> Bdd:
        asked.append(letter)
        return diagram(letter)

    machine = parse_controller(STEPS, Alignment(VOCABULARY), Reading(ending=ending))
    return SteppedController(machine, remembered, lambda action, _: action == "go_straight")


def test_letters_in_a_mask_that_follow_each_other_stand_together() -> None:
    assert letter_runs((1, 3, 2, 2, 0), mask=1) == ((1, 2), (0, 3))
    assert letter_runs((1, 3, 2, 2, 0), mask=3) == ((1, 1), (3, 1), (2, 2), (0, 1))


def test_it_goes_on_from_where_the_event_began_and_asks_for_a_letter_once() -> None:
    asked: list[int] = []
    controller = stepped(Ending.PATROL, asked)
    assert controller.begin(0, ((CAR, 1000),)) is None
    state, action = controller.begin(0, ((CAR, 3), (CLEAR, 1))) or (0, "")
    assert (state != 0, action) == (True, "go_straight")
    # The second step takes a second, then it is at the first one again.
    assert controller.go_on(state, ((CAR, 1),)) == 0
    assert controller.go_on(0, ((CAR, 5),)) == 0
    assert sorted(asked) == [CLEAR, CAR]


def test_a_run_that_ended_stays_there_and_begins_nothing() -> None:
    controller = stepped(Ending.ONE_SHOT, [])
    over = controller.go_on(0, ((CLEAR, 5),))
    assert controller.go_on(over, ((CLEAR, 5), (CAR, 5))) == over
    assert controller.begin(over, ((CLEAR, 5),)) is None
