"""When an answer ends: the model's own ends, those a request names, strings, and how early or late they count."""

from dataclasses import replace
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import engine_of, random_model
from listening import check_empty, drain

PROMPT = (5, 9, 2, 7, 7, 31)
NUM_TOKENS = 30
GREEDY = SamplingParams(temperature=0, max_tokens=NUM_TOKENS)


def spelled(token_ids: list[int]) -> str:
    """Return a text in which each token is a letter and a number, such as "a5b9", the letters in turn."""
    return "".join(f"{chr(ord('a') + place % 26)}{token}" for place, token in enumerate(token_ids))


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def free(model: Any) -> tuple[int, ...]:
    """The answer that nothing ends."""
    return ask(engine_of(model)).token_ids


def with_ends(model: Any, *end_ids: int) -> Engine:
    engine = engine_of(model)
    return Engine(engine._decoder, engine.settings, end_ids=end_ids, detokenize=spelled, is_paged=False)


def ask(engine: Engine, **changes: Any) -> Output:
    ((output,),) = engine.generate([Request(prompt=PROMPT, params=replace(GREEDY, **changes))])
    return output


def test_the_models_own_end(model: Any, free: tuple[int, ...]) -> None:
    end = free[8]
    engine = with_ends(model, end)
    output = ask(engine)
    assert (output.finish, output.token_ids) == (Finish.STOP, free[: free.index(end) + 1])
    ignoring = ask(engine, ignore_eos=True)
    assert (ignoring.finish, ignoring.token_ids) == (Finish.LENGTH, free)
    assert ask(engine, max_tokens=free.index(end) + 1).finish is Finish.STOP


def test_ends_that_a_request_names(model: Any, free: tuple[int, ...]) -> None:
    engine = with_ends(model, 0)
    named = frozenset({free[6], free[9]})
    first = min(free.index(token) for token in named)
    for ignore_eos in (False, True):
        output = ask(engine, stop_token_ids=named, ignore_eos=ignore_eos)
        assert (output.finish, output.token_ids) == (Finish.STOP, free[: first + 1])


def test_no_end_comes_before_so_many_tokens(model: Any, free: tuple[int, ...]) -> None:
    engine = with_ends(model, free[2])
    assert len(ask(engine).token_ids) <= 3
    late = ask(engine, min_tokens=6)
    assert len(late.token_ids) >= 6
    assert free[2] not in late.token_ids[:6]
    assert free[2] not in ask(engine, min_tokens=6, temperature=1.0, seed=2, top_k=3).token_ids[:6]
    # What is forced comes, and does not end it either.
    forced = ask(engine, min_tokens=6, forced_ids=(free[2],) * 8)
    assert forced.token_ids == (free[2],) * 6


def test_a_string_that_spans_tokens_ends_the_text_before_it(model: Any, free: tuple[int, ...]) -> None:
    text = spelled([*free])
    # From the middle of a token to that of the next but one.
    start, end = text.index("e"), text.index("g") + 1
    output = ask(with_ends(model), stop=("never", text[start:end]))
    assert (output.finish, output.stopped_text) == (Finish.STOP, text[:start])
    assert output.token_ids == free[:7]
    assert ask(with_ends(model), stop=("never",)).stopped_text is None
    both = ask(with_ends(model), stop=(text[start:end], text[start - 3 : end]))
    assert both.stopped_text == text[: start - 3]


def test_a_string_among_the_tokens_that_must_come_ends_nothing(model: Any, free: tuple[int, ...]) -> None:
    text = spelled([*free])
    early = text[text.index("c") : text.index("d")]
    assert text.count(early) == 1
    output = ask(with_ends(model), stop=(early,), min_tokens=8)
    assert (output.finish, output.token_ids, output.stopped_text) == (Finish.LENGTH, free, None)
    # One that the last of them begins and the next one ends does.
    spanning = text[text.index("h") : text.index("i") + 2]
    output = ask(with_ends(model), stop=(spanning,), min_tokens=8)
    assert (output.finish, output.stopped_text) == (Finish.STOP, text[: text.index("h")])


@pytest.mark.parametrize("num_before", [0, 5])
def test_a_tokenizer_that_fails_ends_its_sequence_alone(model: Any, free: tuple[int, ...], num_before: int) -> None:
    def failing(token_ids: list[int]) -> str:
        if len(token_ids) > num_before:
            raise UnicodeError("out of letters")
        return spelled(token_ids)

    engine = engine_of(model)
    engine = Engine(engine._decoder, engine.settings, detokenize=failing, is_paged=False)
    bad = Request(prompt=PROMPT, params=replace(GREEDY, stop=("never",)))
    (one,), (other,), (good,) = engine.generate([bad, bad, Request(prompt=PROMPT, params=GREEDY)])
    for output in (one, other):
        assert (output.finish, output.error) == (Finish.ERROR, "detokenizer, failed: UnicodeError: out of letters")
        assert output.token_ids == free[: num_before + 1]
    assert (good.finish, good.token_ids) == (Finish.LENGTH, free)
    drain(engine)
    check_empty(engine)


def test_strings_need_a_tokenizer(model: Any) -> None:
    with pytest.raises(ValueError, match=r"stop, got strings, expected none"):
        ask(engine_of(model), stop=("a",))


def test_the_context_ends_it(model: Any) -> None:
    engine = engine_of(model)
    ((output,),) = engine.generate([Request(prompt=tuple(range(150)), params=replace(GREEDY, max_tokens=10**6))])
    assert (output.finish, len(output.token_ids)) == (Finish.LENGTH, 256 - 150)
