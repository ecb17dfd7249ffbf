from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.kernels.tokens.draw_arithmetic import philox
from verilora.serving.engine.draw import Drawn, top_logprobs
from verilora.serving.engine.sampler import NOISE_LEN, Sampler
from verilora.serving.requests.sampling_params import SamplingParams

pytestmark = pytest.mark.usefixtures("one_thread")
VOCAB = 50
ENDS = frozenset({1, 2})
PROMPT = [3, 4]


def logits_of(seed: int, num_rows: int = 1) -> torch.Tensor:
    return 2 * torch.randn(num_rows, VOCAB, generator=torch.Generator().manual_seed(seed))


class Only:
    """A matcher that allows some tokens at each place."""

    def __init__(self, *allowed: set[int]) -> None:
        self.allowed = [*allowed]

    def fill_next_token_bitmask(self, bitmask: torch.Tensor, index: int) -> None:
        bitmask[index] = 0
        for token in self.allowed[0]:
            word = int(bitmask[index, token // 32]) | 1 << token % 32
            bitmask[index, token // 32] = word - 2**32 if word >= 2**31 else word

    def accept_token(self, token_id: int) -> bool:
        return token_id in self.allowed.pop(0)

    def is_terminated(self) -> bool:
        return not self.allowed


def sampler_with(*many: SamplingParams, num_slots: int = 8, matcher: Any = None) -> Sampler:
    sampler = Sampler(num_slots, VOCAB, torch.device("cpu"))
    for number, params in enumerate(many):
        sampler.open(number, params, params.seed, PROMPT, len(PROMPT), ENDS, matcher)
    return sampler


def draw(params: SamplingParams, logits: torch.Tensor, position: int = 2, matcher: Any = None) -> Drawn:
    (drawn,) = sampler_with(params, matcher=matcher).launch(logits.clone(), [0], [position]).read()
    return drawn


PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 1e-30, 0.7, 1.0, 3.0]),
    top_k=st.sampled_from([0, 0, 1, 7]),
    top_p=st.sampled_from([1.0, 1.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.5]),
    logit_bias=st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-5, 5), max_size=2),
    banned_ids=st.frozensets(st.integers(0, VOCAB - 1), max_size=3),
    min_tokens=st.integers(0, 3),
    logprobs=st.sampled_from([None, 0, 3]),
    seed=st.integers(-9, 9),
)


@settings(max_examples=60, deadline=None)
@given(many=st.lists(PARAMS, min_size=1, max_size=6), data=st.data())
def test_a_draw_is_the_same_alone_and_in_any_batch(many: list[SamplingParams], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(many))))
    positions = [data.draw(st.integers(2, 2 + 2 * NOISE_LEN)) for _ in many]
    logits = logits_of(1, len(many))
    batch = sampler_with(*many)
    together = batch.launch(logits[order].clone(), order, [positions[k] for k in order]).read()
    for number, drawn in zip(order, together, strict=True):
        alone = sampler_with(*many).launch(logits[number : number + 1].clone(), [number], [positions[number]]).read()
        assert alone == [drawn]


@pytest.mark.parametrize(
    "params", [SamplingParams(seed=5), SamplingParams(seed=5, top_p=0.9)], ids=["plain", "filtered"]
)
def test_a_draw_follows_from_seed_and_position_alone(params: SamplingParams) -> None:
    """Whenever the sequence was taken in: one that was preempted draws what it would have drawn."""
    logits, positions = logits_of(2), range(2, 2 + 3 * NOISE_LEN)
    sampler = sampler_with(params)
    whole = [sampler.launch(logits.clone(), [0], [position]).read()[0].token_id for position in positions]
    assert len({*whole}) > 5
    for first in (1, NOISE_LEN - 1, NOISE_LEN, NOISE_LEN + 1, 100):
        again = sampler_with(params)
        found = [
            again.launch(logits.clone(), [0], [position]).read()[0].token_id
            for position in positions[first : first + 70]
        ]
        assert found == whole[first : first + 70]


@pytest.mark.parametrize("position", [2, 65, 66, 1000])
def test_a_plain_draw_inverts_the_sum_of_probabilities_at_philox(position: int) -> None:
    logits = logits_of(12)
    for seed in range(30):
        high, _ = philox(torch.tensor([seed]), torch.tensor([position]))
        goal = float(high >> 8) * 2.0**-24
        sums = torch.softmax(logits[0].double(), 0).cumsum(0)
        expected = int((sums <= goal).sum())
        assert draw(SamplingParams(seed=seed), logits, position).token_id == expected


def test_a_slot_keeps_nothing_of_whom_it_served_before() -> None:
    logits = logits_of(3)
    best = int(logits.argmax())
    sampler = sampler_with(SamplingParams(temperature=0, frequency_penalty=50.0), num_slots=1)
    found = [sampler.launch(logits.clone(), [0], [position]).read()[0].token_id for position in (2, 3)]
    assert found[0] == best != found[1]
    sampler.close(0)
    sampler.open(1, SamplingParams(temperature=0, frequency_penalty=50.0), 0, PROMPT, 2, ENDS, None)
    assert sampler.launch(logits.clone(), [1], [2]).read()[0].token_id == best
    sampler.reset()
    sampler.open(2, SamplingParams(temperature=0), 0, PROMPT, 2, ENDS, None)
    assert sampler.launch(logits.clone(), [2], [2]).read()[0].token_id == best
    sampler.close(9)


def test_tokens_come_as_often_as_they_weigh() -> None:
    logits, temperature, num_draws = logits_of(4), 1.5, 6000
    expected = torch.softmax(logits[0] / temperature, 0)
    sampler = Sampler(num_draws, VOCAB, torch.device("cpu"))
    for number in range(num_draws):
        sampler.open(number, SamplingParams(temperature=temperature), number, PROMPT, 2, ENDS, None)
    drawn = sampler.launch(logits.repeat(num_draws, 1), range(num_draws), [2] * num_draws).read()
    counts = torch.bincount(torch.tensor([one.token_id for one in drawn]), minlength=VOCAB)
    statistic = ((counts - num_draws * expected) ** 2 / (num_draws * expected)).sum()
    # Of chi-square with 49 degrees of freedom, one in a million is larger.
    assert statistic < 112


@pytest.mark.parametrize(
    "params", [{"temperature": 0.0}, {"temperature": 1e-38}, {"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}]
)
def test_the_likeliest(params: dict[str, Any]) -> None:
    for seed in range(20):
        assert draw(SamplingParams(**params, seed=seed), logits_of(seed)).token_id == int(logits_of(seed).argmax())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_banned_never_comes(temperature: float) -> None:
    allowed = frozenset({7, 30})
    banned = frozenset(range(VOCAB)) - allowed
    tokens = {
        draw(SamplingParams(temperature=temperature, banned_ids=banned, seed=seed), logits_of(seed)).token_id
        for seed in range(40)
    }
    assert tokens == allowed


def test_a_bias_moves_a_token() -> None:
    assert draw(SamplingParams(temperature=0, logit_bias={9: 100.0}), logits_of(5)).token_id == 9
    best = int(logits_of(5).argmax())
    assert draw(SamplingParams(temperature=0, logit_bias={best: -100.0}), logits_of(5)).token_id != best


def test_no_end_comes_before_it_may() -> None:
    logits = logits_of(6)
    logits[0, 1] = 100.0
    params = SamplingParams(temperature=0, min_tokens=3)
    found = [draw(params, logits, position).token_id in ENDS for position in range(2, 7)]
    assert found == [False, False, False, True, True]


def test_penalties_see_prompt_and_answer() -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, [3, 8, 9]] = torch.tensor([5.0, 4.5, 4.0])
    params = SamplingParams(temperature=0, repetition_penalty=2.0, max_tokens=4)
    sampler = sampler_with(params)
    assert [sampler.launch(logits.clone(), [0], [k]).read()[0].token_id for k in range(2, 5)] == [8, 9, 3]
    again = Sampler(1, VOCAB, torch.device("cpu"))
    again.open(0, params, 0, [*PROMPT, 8], 2, ENDS, None)
    assert again.launch(logits.clone(), [0], [3]).read()[0].token_id == 9, (
        "it was taken in with one token behind its prompt"
    )


def test_penalties_count_what_was_forced_and_not_what_was_drawn() -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, [8, 9]] = torch.tensor([4.5, 4.0])
    params = SamplingParams(temperature=0, frequency_penalty=3.0, forced_ids=(9,))
    sampler = sampler_with(params)
    assert [sampler.launch(logits.clone(), [0], [k]).read()[0].token_id for k in range(2, 5)] == [9, 8, 8]
    again = Sampler(1, VOCAB, torch.device("cpu"))
    again.open(0, params, 0, [*PROMPT, 9, 8], 2, ENDS, None)
    assert again.launch(logits.clone(), [0], [4]).read()[0].token_id == 8


def test_what_is_forced_comes() -> None:
    params = SamplingParams(temperature=0, forced_ids=(7, 1), banned_ids=frozenset({7}), logprobs=0)
    sampler, logits = sampler_with(params), logits_of(7)
    drawn = [sampler.launch(logits.clone(), [0], [k]).read()[0] for k in range(2, 5)]
    assert [one.token_id for one in drawn] == [7, 1, int(logits.argmax())]
    expected = logits[0].log_softmax(0)
    for one in drawn:
        assert one.logprobs is not None
        assert one.logprobs.logprob == pytest.approx(float(expected[one.token_id]), abs=1e-5)


def test_a_grammar_says_what_may_follow() -> None:
    matcher = Only({4, 33}, {12}, {0, 49})
    sampler = sampler_with(SamplingParams(temperature=0), matcher=matcher)
    logits = logits_of(8)
    expected = [max(allowed, key=lambda token: float(logits[0, token])) for allowed in matcher.allowed]
    drawn = [sampler.launch(logits.clone(), [0], [k]).read()[0] for k in range(2, 5)]
    assert [one.token_id for one in drawn] == expected
    assert [one.is_last for one in drawn] == [False, False, True], "the answer is whole once nothing may follow"


def test_a_grammar_and_no_grammar_in_one_step() -> None:
    sampler = Sampler(3, VOCAB, torch.device("cpu"))
    for number, matcher in enumerate((None, Only({4}), None)):
        sampler.open(number, SamplingParams(temperature=0), 0, PROMPT, 2, ENDS, matcher)
    logits = logits_of(9, 3)
    drawn = sampler.launch(logits.clone(), [0, 1, 2], [2, 2, 2]).read()
    assert [one.token_id for one in drawn] == [int(logits[0].argmax()), 4, int(logits[2].argmax())]


def test_what_is_forced_against_a_grammar_is_an_error() -> None:
    drawn = draw(SamplingParams(forced_ids=(5,)), logits_of(1), matcher=Only({4}))
    assert drawn == Drawn(-1, error="token 5, forced, expected one that the grammar allows", is_refused=True)


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"temperature": 1.0}, {"top_p": 0.5}])
def test_nothing_may_follow(params: dict[str, Any]) -> None:
    drawn = draw(SamplingParams(**params, banned_ids=frozenset(range(VOCAB))), logits_of(1))
    assert drawn == Drawn(-1, error="token, got none that may follow, expected at least one", is_refused=True)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"temperature": 1.0}, {"top_p": 0.5, "logprobs": 2}])
def test_logits_that_are_not_finite_end_their_row_alone(params: dict[str, Any], value: float) -> None:
    both = SamplingParams(**params, seed=3)
    logits = logits_of(2, 2)
    expected = sampler_with(both, both).launch(logits.clone(), [0, 1], [2, 2]).read()[0]
    logits[1, 11] = value
    good, bad = sampler_with(both, both).launch(logits, [0, 1], [2, 2]).read()
    assert good == expected
    assert bad.token_id == -1
    assert bad.error == "logits, got some that are not finite, expected numbers to choose by"


def test_large_logits_whose_sum_overflows_are_numbers() -> None:
    logits = torch.full((1, VOCAB), 3e38)
    logits[0, 17] = 3.2e38
    for temperature in (0.0, 1.0):
        assert draw(SamplingParams(temperature=temperature), logits).token_id == 17


def test_logprobs_are_the_models_before_bans_and_penalties() -> None:
    logits = logits_of(10)
    expected = logits[0].log_softmax(0)
    best = int(logits.argmax())
    params = SamplingParams(temperature=0, banned_ids=frozenset({best}), repetition_penalty=3.0, logprobs=4)
    found = draw(params, logits).logprobs
    assert found is not None
    assert found.token_id != best
    assert found.logprob == pytest.approx(float(expected[found.token_id]), abs=1e-5)
    top = expected.topk(4)
    assert [token for token, _ in found.top] == top.indices.tolist()
    assert [value for _, value in found.top] == pytest.approx(top.values.tolist(), abs=1e-5)


def test_each_row_gets_as_many_of_the_likeliest_as_it_asks_for() -> None:
    found = top_logprobs(logits_of(11, 3), [5, 6, 7], [0, 3, 1])
    assert [(one.token_id, len(one.top)) for one in found] == [(5, 0), (6, 3), (7, 1)]
    assert draw(SamplingParams(), logits_of(1)).logprobs is None
