"""Log-probabilities in the two shapes that OpenAI's API has."""

from collections.abc import Sequence

from ..requests.request import TokenLogprobs
from .api.answers import ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob
from .text.text_model import TextModel


def chat_logprobs(text: TextModel, logprobs: Sequence[TokenLogprobs]) -> ChatLogprobs:
    """Return log-probabilities as chats have them, each token with its bytes."""
    return ChatLogprobs(content=[_token(text, one) for one in logprobs])


def completion_logprobs(
    text: TextModel, logprobs: Sequence[TokenLogprobs | None], tokens: Sequence[int], offsets: Sequence[int]
) -> CompletionLogprobs:
    """Return log-probabilities as completions have them. Of the first token of a prompt there is none."""
    tops: list[dict[str, float] | None] = []
    for one in logprobs:
        # What is likeliest stands first and stays, where two tokens have one text.
        tops.append({text.spelled(token)[0]: value for token, value in reversed(one.top)} if one else None)
    return CompletionLogprobs(
        tokens=[text.spelled(token)[0] for token in tokens],
        token_logprobs=[one.logprob if one else None for one in logprobs],
        top_logprobs=tops,
        text_offset=[*offsets],
    )


def _token(text: TextModel, one: TokenLogprobs) -> TokenLogprob:
    spelled, raw = text.spelled(one.token_id)
    tops = [(text.spelled(token), value) for token, value in one.top]
    return TokenLogprob(
        token=spelled,
        logprob=one.logprob,
        bytes=[*raw],
        top_logprobs=[TopLogprob(token=name, logprob=value, bytes=[*data]) for (name, data), value in tops],
    )
