from typing import Any

import pytest

from verilora.serving.engine.stopping import Stopping
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

PROMPT = (9, 9)
WORDS = {1: "<end>", 2: "a", 3: "b", 4: "ab", 5: "cab"}


def sequence(*produced: int, limit: int = 99, **fields: Any) -> Sequence:
    request = Request(prompt=PROMPT, params=SamplingParams(**fields))
    return Sequence(
        id=0, request=request, candidate=0, version=None, arrival=0, tokens=[*PROMPT, *produced], parts=[], limit=limit
    )


def finish_of(some: Sequence) -> Finish | None:
    return Stopping(frozenset({1}), lambda tokens: "".join(WORDS[token] for token in tokens)).finish_of(some)


@pytest.mark.parametrize(
    ("produced", "fields", "expected"),
    [
        ((2, 3), {}, None),
        ((2, 1), {}, Finish.STOP),
        ((1, 2), {}, None),
        ((2, 1), {"ignore_eos": True}, None),
        ((2, 3), {"stop_token_ids": frozenset({3})}, Finish.STOP),
        ((2, 3), {"stop_token_ids": frozenset({3}), "ignore_eos": True}, Finish.STOP),
        ((2, 1), {"stop_token_ids": frozenset({3})}, Finish.STOP),
        ((2, 1), {"min_tokens": 3}, None),
        ((2, 1), {"min_tokens": 2}, Finish.STOP),
        ((2, 3), {"limit": 4}, Finish.LENGTH),
        ((2, 3), {"limit": 5}, None),
        ((2, 1), {"limit": 4}, Finish.STOP),
        ((2, 3), {"stop": ("ab",)}, Finish.STOP),
        ((4,), {"stop": ("b",)}, Finish.STOP),
        ((2, 3), {"stop": ("ab",), "min_tokens": 3}, None),
        ((3, 2), {"stop": ("ab",)}, None),
        ((2, 3), {"stop": ("ab",), "limit": 4}, Finish.STOP),
    ],
)
def test_why_a_sequence_ends(produced: tuple[int, ...], fields: dict[str, Any], expected: Finish | None) -> None:
    assert finish_of(sequence(*produced, **fields)) is expected


@pytest.mark.parametrize(("stop", "text"), [(("b",), "aca"), (("ca", "b"), "a"), (("x", "cab"), "a")])
def test_the_text_ends_before_the_first_stop(stop: tuple[str, ...], text: str) -> None:
    some = sequence(2, 5, stop=stop)
    assert finish_of(some) is Finish.STOP
    assert some.stopped_text == text


def test_without_a_stop_string_no_text_is_made() -> None:
    some = sequence(2, 3)
    assert Stopping(frozenset({1}), None).finish_of(some) is None
    assert some.stopped_text is None


def test_the_ends_of_a_sequence() -> None:
    stopping = Stopping(frozenset({1}), None)
    assert stopping.ends_of(sequence(stop_token_ids=frozenset({3}))) == {1, 3}
    assert stopping.ends_of(sequence(stop_token_ids=frozenset({3}), ignore_eos=True)) == {3}
