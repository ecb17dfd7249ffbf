import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.phrase import tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Turn LEFT", ["turn", "left"]),
        ("the car, a stop sign and an arrow", ["car", ",", "stop", "sign", "and", "arrow"]),
        ("left-turn_light", ["left", "turn", "light"]),
        ("(no car)", ["(", "no", "car", ")"]),
        ("the driver's side", ["drivers", "side"]),
        ("theatre anthem", ["theatre", "anthem"]),
        ("step10", ["step10"]),
        ("step 10.", ["step", "10", "."]),
        ("step-1 step -1", ["step", "1", "step", "-", "1"]),
        ("a\t b\u00a0c", ["b", "c"]),
        ("café →", ["caf", "é", "→"]),
        ("the a an - _ '", []),
        ("", []),
    ],
)
def test_tokenize(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text())
def test_tokenizing_the_tokens_again_changes_nothing(text: str) -> None:
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens
