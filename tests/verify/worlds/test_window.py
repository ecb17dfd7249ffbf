"""Windows of recorded waits."""

import pytest
from waits import wait

from verilora.specs.domain import load_domain
from verilora.verify.worlds.window import windows_of

VOCABULARY = load_domain("driving").vocabulary
CAR = "car_from_left"
WAIT = wait(VOCABULARY, "", CAR, "", "", CAR, "", after="go_straight", roll=1)


def test_windows_stand_behind_the_way_there_and_do_not_overlap() -> None:
    way, car, *_ = WAIT.letters
    found = list(windows_of(WAIT, 2, {car}))
    assert [(window.second, window.letters) for window in found] == [(0, (car, way)), (2, (way, car))]
    assert {(window.seed, window.line, window.after, window.roll) for window in found} == {
        (WAIT.seed, WAIT.line, "go_straight", (way,))
    }
    assert all(window.counts for window in found)


def test_windows_without_the_premise_do_not_count() -> None:
    car = WAIT.letters[1]
    assert [window.counts for window in windows_of(WAIT, 1, {car})] == [True, False, False, True, False]


@pytest.mark.parametrize(("limit", "number"), [(1, 5), (4, 1), (5, 1), (6, 0)])
def test_what_is_shorter_than_the_limit_is_no_window(limit: int, number: int) -> None:
    assert len(list(windows_of(WAIT, limit, set()))) == number
