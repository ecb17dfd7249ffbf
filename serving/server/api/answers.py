"""Answers, in OpenAI's shapes: the same types are written to clients and told in the OpenAPI document."""

from typing import Literal

import msgspec
from fastapi.responses import Response
from msgspec import UNSET, UnsetType

Reason = Literal["stop", "length"]


class Answer(msgspec.Struct, frozen=True):
    """A JSON object."""


class PromptTokensDetails(Answer, frozen=True, kw_only=True):
    """How many tokens of prompts were known from before."""

    cached_tokens: int


class Usage(Answer, frozen=True, kw_only=True):
    """How many tokens a request took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class CompletionLogprobs(Answer, frozen=True, kw_only=True):
    """Log-probabilities of /v1/completions. What stands first has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(Answer, frozen=True, kw_only=True):
    """One continuation, or a piece of it in a stream."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Reason | None


class Completion(Answer, frozen=True, kw_only=True):
    """The answer of /v1/completions, or a piece of it in a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | UnsetType | None = UNSET


class TopLogprob(Answer, frozen=True, kw_only=True):
    """One of the likeliest tokens at a place."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(Answer, frozen=True, kw_only=True):
    """A token of an answer, and the likeliest at its place."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Answer, frozen=True, kw_only=True):
    """Log-probabilities of /v1/chat/completions."""

    content: list[TokenLogprob]
    refusal: None = None


class AssistantMessage(Answer, frozen=True, kw_only=True):
    """What the model says."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Answer, frozen=True, kw_only=True):
    """One answer to a conversation."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Reason


class ChatCompletion(Answer, frozen=True, kw_only=True):
    """The answer of /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(Answer, frozen=True, kw_only=True):
    """What is new of a message; the first piece has the role."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(Answer, frozen=True, kw_only=True):
    """A piece of one answer; exactly one of them has a reason why it ended."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: Reason | None = None


class ChatCompletionChunk(Answer, frozen=True, kw_only=True):
    """A piece of a streamed answer. The last has the usage, if it was asked for, and no choices."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | UnsetType | None = UNSET


class Model(Answer, frozen=True, kw_only=True):
    """A model that can be named: the base model, or an adapter on it, whose `parent` the base model is."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["verilora"] = "verilora"
    parent: str | None = None
    max_model_len: int


class Models(Answer, frozen=True, kw_only=True):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Tokens(Answer, frozen=True, kw_only=True):
    """The tokens of a text."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class Text(Answer, frozen=True, kw_only=True):
    """The text of tokens."""

    prompt: str


class Status(Answer, frozen=True, kw_only=True):
    """How a server is."""

    status: str


def as_json(answer: Answer) -> Response:
    """Return an answer as the body of a response."""
    return Response(msgspec.json.encode(answer), media_type="application/json")
