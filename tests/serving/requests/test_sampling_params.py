from math import inf, nan
from typing import Any

import pytest

from verilora.serving.requests.sampling_params import SamplingParams

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -0.1}, r"temperature, got -0.1, expected a number from 0 up to 1e\+30"),
    ({"temperature": nan}, "temperature, got nan, expected a number from 0 up"),
    ({"temperature": 1.1e30}, "temperature, got 1.1e"),
    ({"temperature": inf}, "temperature, got inf"),
    ({"top_k": -1}, "top_k, got -1, expected 0 for all, or up to 2147483647"),
    ({"top_k": 2**31}, "top_k, got 2147483648, expected 0 for all, or up to 2147483647"),
    ({"top_p": 0.0}, "top_p, got 0.0, expected a number over 0 up to 1"),
    ({"top_p": 1.1}, "top_p, got 1.1"),
    ({"top_p": nan}, "top_p, got nan"),
    ({"min_p": -0.1}, "min_p, got -0.1, expected a number from 0 to 1"),
    ({"min_p": nan}, "min_p, got nan"),
    ({"repetition_penalty": 0.0}, "repetition_penalty, got 0.0, expected a number over 0"),
    ({"repetition_penalty": inf}, "repetition_penalty, got inf"),
    ({"repetition_penalty": 1e-31}, "repetition_penalty, got 1e-31, expected a number over 0, from 1e-30 to"),
    ({"presence_penalty": inf}, r"presence_penalty, got inf, expected a number from -1e\+30 to 1e\+30"),
    ({"presence_penalty": -1.1e30}, "presence_penalty, got -1.1e"),
    ({"frequency_penalty": nan}, "frequency_penalty, got nan, expected a number from"),
    ({"logit_bias": {3: nan}}, r"logit_bias, got \{3: nan\}, expected numbers from -1e\+30 to 1e\+30"),
    ({"logit_bias": {3: -inf}}, r"logit_bias, got \{3: -inf\}, expected numbers from"),
    ({"logit_bias": {3: 0.0, 4: 2e30}}, r"logit_bias, got \{3: 0.0, 4: 2e\+30\}"),
    ({"max_tokens": 0}, "max_tokens, got 0, expected at least 1"),
    ({"min_tokens": -1}, "min_tokens, got -1, expected 0 to max_tokens 16"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens, got 5, expected 0 to max_tokens 4"),
    ({"stop": ("a", "")}, r"stop, got \('a', ''\), expected strings that are not empty"),
    ({"n": 0}, "n, got 0, expected at least 1"),
    ({"logprobs": -1}, "logprobs, got -1, expected 0 to 20, or none"),
    ({"logprobs": 21}, "logprobs, got 21, expected 0 to 20, or none"),
    ({"seed": 2**63}, "seed, got 9223372036854775808, expected a number of 64 bits"),
]
FILTERS: dict[str, Any] = {
    "top_k": 1,
    "top_p": 0.9,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "presence_penalty": -0.1,
    "frequency_penalty": 0.1,
}


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[f"{fields}" for fields, _ in REFUSED])
def test_what_makes_no_sense_is_refused_by_its_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        SamplingParams(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": 5e-324},
        {"temperature": 1e30},
        {"top_p": 1e-9, "min_p": 1.0, "top_k": 2**31 - 1},
        {"repetition_penalty": 1e-30},
        {"repetition_penalty": 1e30, "presence_penalty": 1e30, "logit_bias": {3: -1e30}},
        {"logprobs": 0},
        {"logprobs": 20},
        {"min_tokens": 16},
        {"seed": -(2**63)},
        {"presence_penalty": -2.0},
        {"forced_ids": (1, 2)},
    ],
)
def test_what_is_at_the_edge_is_taken(fields: dict[str, Any]) -> None:
    SamplingParams(**fields)


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_makes_a_request_filtered(name: str) -> None:
    assert SamplingParams(**{name: FILTERS[name]}).is_filtered


def test_what_changes_single_tokens_is_no_filter() -> None:
    plain = SamplingParams(temperature=0.3, logit_bias={1: 2.0}, banned_ids=frozenset({3}), min_tokens=2, logprobs=3)
    assert not plain.is_filtered
