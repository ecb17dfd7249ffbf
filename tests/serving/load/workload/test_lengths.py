import numpy as np
import pytest

from verilora.serving.load.workload.lengths import LengthRange


def test_both_ends_are_drawn_and_nothing_beyond() -> None:
    drawn = LengthRange(8, 11).draw(400, np.random.default_rng(0))
    assert {*drawn.tolist()} == {8, 9, 10, 11}


def test_a_fixed_length() -> None:
    assert {*LengthRange.parse("512").draw(5, np.random.default_rng(0)).tolist()} == {512}


@pytest.mark.parametrize(("text", "low", "high"), [("8:511", 8, 511), ("0", 0, 0), ("3:3", 3, 3)])
def test_texts(text: str, low: int, high: int) -> None:
    assert LengthRange.parse(text) == LengthRange(low, high)
    assert LengthRange.parse(str(LengthRange(low, high))) == LengthRange(low, high)


@pytest.mark.parametrize("text", ["", "a", "-1", "5:3", "1:2:3", "1.5", ":", "1:", "9999999999", " 1"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        LengthRange.parse(text)
