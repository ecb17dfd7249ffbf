"""Pieces of streamed answers, in OpenAI's shapes; what else they hold is of no interest here."""

from typing import Any

import msgspec


class Delta(msgspec.Struct):
    """What a chat's piece adds to the message."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(msgspec.Struct):
    """A piece of a candidate."""

    text: str | None = None
    delta: Delta | None = None
    finish_reason: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether text has come."""
        delta = self.delta
        return bool(self.text or (delta and (delta.content or delta.reasoning or delta.reasoning_content)))


class ChunkUsage(msgspec.Struct):
    """How many tokens a request took, as far as a server tells it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class AnswerChunk(msgspec.Struct):
    """An event of a stream, of completions or of chat."""

    choices: list[ChunkChoice] = []
    usage: ChunkUsage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(AnswerChunk)


def read_chunk(data: bytes) -> AnswerChunk:
    """Return an event's data as a piece of an answer; raises msgspec.MsgspecError."""
    return _DECODER.decode(data)
