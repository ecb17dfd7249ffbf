from typing import Any

import pytest

from verilora.serving.requests.request import Request
from verilora.serving.requests.request_checks import check_request
from verilora.serving.requests.sampling_params import SamplingParams


def check(
    prompt: tuple[int, ...] = (1, 2), *, deadline: float | None = None, has_text: bool = True, **fields: Any
) -> None:
    request = Request(prompt=prompt, params=SamplingParams(**fields), deadline=deadline)
    check_request(request, vocab_size=10, context_len=8, has_text=has_text)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ()}, "prompt, got no tokens, expected at least one"),
    ({"prompt": (1,) * 8}, "a prompt has 8 tokens, expected fewer than the model's context of 8"),
    ({"prompt": (1, 10)}, "prompt, got token 10, expected 0 to 9"),
    ({"prompt": (-1, 1)}, "prompt, got token -1, expected 0 to 9"),
    ({"logit_bias": {2: 1.0, 11: 1.0}}, "logit_bias, got token 11, expected 0 to 9"),
    ({"banned_ids": frozenset({10})}, "banned_ids, got token 10, expected 0 to 9"),
    ({"stop_token_ids": frozenset({-2})}, "stop_token_ids, got token -2, expected 0 to 9"),
    ({"forced_ids": (3, 12)}, "forced_ids, got token 12, expected 0 to 9"),
    ({"stop": ("a",), "has_text": False}, "stop, got strings, expected none: this engine was made without a tokenizer"),
    ({"deadline": 0.0}, "deadline, got 0.0, expected seconds over 0"),
    ({"deadline": float("nan")}, "deadline, got nan, expected seconds over 0"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_the_model_cannot_serve_is_refused_by_its_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        check(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": (0, 9)},
        {"prompt": (1,) * 7},
        {"logit_bias": {0: -1.0, 9: 2.0}, "banned_ids": frozenset({0, 9}), "forced_ids": (9, 0)},
        {"stop": ("a",)},
        {"deadline": 1e-9},
        {"has_text": False},
    ],
)
def test_what_is_at_the_edge_is_taken(fields: dict[str, Any]) -> None:
    check(**fields)
