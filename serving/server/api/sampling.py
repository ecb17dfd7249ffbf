"""What a body asks of its tokens, as the engine takes it."""

import secrets
from typing import Any

from ...requests.sampling_params import SamplingParams
from ..settings import ServerSettings
from .api_error import refused
from .bodies import SamplingBody

_AS_THEY_ARE = (
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "n",
)


def sampling_params(
    body: SamplingBody,
    settings: ServerSettings,
    *,
    banned_ids: tuple[int, ...],
    max_tokens: int,
    logprobs: int | None,
    prompt_logprobs: bool = False,
) -> SamplingParams:
    """Return how the tokens of a body are chosen; raises ApiError, with the field, for what is beyond the limits."""
    asked: dict[str, Any] = {name: getattr(body, name) for name in _AS_THEY_ARE if getattr(body, name) is not None}
    if body.top_k is not None:
        # vLLM's -1 and OpenAI's 0 both stand for all.
        asked["top_k"] = max(0, body.top_k)
    try:
        return SamplingParams(
            **asked,
            logit_bias={int(token): bias for token, bias in (body.logit_bias or {}).items()},
            banned_ids=frozenset(banned_ids),
            max_tokens=max_tokens,
            min_tokens=body.min_tokens,
            ignore_eos=body.ignore_eos,
            stop=_stops(body, settings),
            stop_token_ids=frozenset(body.stop_token_ids or ()),
            seed=secrets.randbits(63) if body.seed is None else body.seed,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
        )
    except ValueError as error:
        raise refused(str(error), str(error).partition(",")[0]) from None


def _stops(body: SamplingBody, settings: ServerSettings) -> tuple[str, ...]:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stops) > settings.max_stops:
        raise refused(f"stop, got {len(stops)} strings, expected at most {settings.max_stops}", "stop")
    if (longest := max(map(len, stops), default=0)) > settings.max_stop_chars:
        raise refused(f"stop, got a string of {longest}, expected at most {settings.max_stop_chars} characters", "stop")
    return stops
