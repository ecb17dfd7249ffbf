from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.serving.engine.stopping import MORE_TOKENS, RECENT, Stopping, TextError
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

PROMPT = (9, 9)
WORDS = {1: "<end>", 2: "a", 3: "b", 4: "ab", 5: "cab", 6: ""}


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


def bytewise(pieces: list[bytes]) -> str:
    """As GPT's, Llama 3's and Qwen's tokenizers do: what is no character yet becomes a question mark in a diamond."""
    return b"".join(pieces).decode("utf-8", errors="replace")


def by_runs(pieces: list[bytes]) -> str:
    """As Llama 2's and Mistral's: a run of single bytes is text only if all of it is, and the first space is left out.

    What it does with a run is what the decoder `ByteFallback` of tokenizers does.
    """
    text, run = "", b""
    for piece in [*pieces, b""]:
        if len(piece) == 1 and piece >= b"\x80":
            run += piece
            continue
        try:
            text += run.decode()
        except UnicodeDecodeError:
            text += "\ufffd" * len(run)
        text, run = text + piece.decode("utf-8", errors="replace"), b""
    return text.removeprefix(" ")


def tidy(pieces: list[bytes]) -> str:
    """As tokenizers that clean up: some spaces go when the token behind them comes; one that is empty says nothing."""
    return bytewise([piece for piece in pieces if piece != b"b"]).replace(" a", "a")


TEXTS = st.text(st.sampled_from("ab \u00e9\u20ac\u65e5\U0001f600"), min_size=1, max_size=150) | st.text(
    st.sampled_from("ab \u65e5\U0001f600"), min_size=70, max_size=150
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[bytes], tuple[str, ...]]:
    """Draw a text in pieces of some bytes each, which may be spoilt, and stop strings that may stand in it."""
    text = draw(TEXTS)
    content = text.encode()
    longest = draw(st.sampled_from([1, 3]))
    ends = [0]
    while ends[-1] < len(content):
        ends.append(ends[-1] + draw(st.integers(1, longest)))
    pieces = [content[start:end] for start, end in pairwise(ends)]
    if draw(st.booleans()):
        pieces.insert(draw(st.integers(0, len(pieces))), b"\xe2")
    starts = draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=2))
    return pieces, tuple(text[start : start + draw(st.sampled_from([1, 2, 5, 30]))] for start in starts)


@settings(max_examples=300, deadline=None)
@given(answers(), st.sampled_from([0, 2, 50]), st.sampled_from([bytewise, by_runs, tidy]))
def test_the_end_is_found_as_in_the_whole_text(
    answer: tuple[list[bytes], tuple[str, ...]], min_tokens: int, spelled: Callable[[list[bytes]], str]
) -> None:
    """Whatever characters and stop strings have more than a token, and wherever tokens that are looked at begin."""
    pieces, stops = answer
    stopping = Stopping(frozenset(), lambda tokens: spelled([pieces[token] for token in tokens]))
    early = len(spelled(pieces[: max(0, min_tokens - 1)]))
    for num_tokens in range(1, len(pieces) + 1):
        text = spelled(pieces[:num_tokens])
        places = [text.find(stop, max(0, early + 1 - len(stop)) if min_tokens > 1 else 0) for stop in stops]
        ends = num_tokens >= min_tokens and max(places) >= 0
        some = sequence(*range(num_tokens), stop=stops, min_tokens=min_tokens, max_tokens=10**4, limit=10**5)
        assert stopping.finish_of(some) is (Finish.STOP if ends else None)
        if ends:
            assert some.stopped_text == text[: min(place for place in places if place >= 0)]
            break


@pytest.mark.parametrize("spelled", [bytewise, by_runs])
@pytest.mark.parametrize(
    "stop", ["\u672c", "\u65e5\u672c", "\u65e5\u65e5\u672c", "\u65e5\u65e5\u65e5\u672c", "\u672c!"]
)
def test_a_long_run_of_characters_of_three_tokens_each(stop: str, spelled: Callable[[list[bytes]], str]) -> None:
    """Wherever the tokens that are looked at begin within a character."""
    text = "\u65e5" * 80 + "\u672c!"
    pieces = [bytes([byte]) for byte in text.encode()]
    stopping = Stopping(frozenset(), lambda tokens: spelled([pieces[token] for token in tokens]))
    for num_tokens in range(1, len(pieces) + 1):
        some = sequence(*range(num_tokens), stop=(stop,), limit=10**4)
        if stopping.finish_of(some) is not None:
            break
    assert num_tokens == len(text[: text.index(stop) + len(stop)].encode())
    assert some.stopped_text == text[: text.index(stop)]


def test_a_text_that_goes_on_is_not_made_again_for_each_token() -> None:
    asked: list[int] = []

    def detokenize(tokens: list[int]) -> str:
        asked.append(len(tokens))
        return "".join(WORDS[token] for token in tokens)

    stopping = Stopping(frozenset({1}), detokenize)
    produced = [2] * 3000
    assert stopping.finish_of(sequence(*produced, stop=("b" * 10,), limit=10**4)) is None
    assert asked == [RECENT, 10 + MORE_TOKENS]
    # Where most have no text more are looked at, but not all.
    asked.clear()
    assert stopping.finish_of(sequence(*[2, *[6] * 9] * 300, stop=("b" * 10,), limit=10**4)) is None
    assert 180 <= max(asked) <= 400


@pytest.mark.parametrize("detokenize", [lambda tokens: 1 // 0, lambda tokens: None], ids=["raises", "is no text"])
def test_a_detokenizer_that_fails(detokenize: Any) -> None:
    stopping = Stopping(frozenset({1}), detokenize)
    with pytest.raises(TextError, match=r"^detokenizer, failed: (ZeroDivision|Type)Error: "):
        stopping.finish_of(sequence(2, stop=("a",)))
    assert stopping.finish_of(sequence(2)) is None, "no text is asked for"
