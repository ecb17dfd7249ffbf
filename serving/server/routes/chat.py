"""/v1/chat/completions."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import UNSET

from ...adapters.adapter_record import AdapterRecord
from ...requests.sampling_params import SamplingParams
from ..answering import Answering, Choice, Piece
from ..api.answers import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    Usage,
    as_json,
)
from ..api.api_error import documented, refused, too_long
from ..api.bodies import ChatBody, ChatMessage
from ..api.read_body import body_document, read_body
from ..api.sampling import sampling_params
from ..departure import while_there
from ..event_stream import EventStream, event
from ..front import Compiled, Front
from ..logprobs import chat_logprobs
from ..text.text_model import TextTooLong
from .document import answers_with, new_id, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation that is to be answered."""

    id: str
    created: int
    body: ChatBody
    adapter: AdapterRecord | None
    prompt: tuple[int, ...]
    params: SamplingParams
    grammar: Compiled | None


def chat_routes(front: Front) -> APIRouter:
    """Return the routes of chats."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        operation_id="createChatCompletion",
        openapi_extra=body_document(ChatBody),
        responses={
            **answers_with(ChatCompletion, ChatCompletionChunk),
            **documented(400, 404, 413, 429, 500, 503),
        },
    )
    async def chat(request: Request) -> Response:
        """Answer a conversation, in one piece or as a stream of events."""
        asked = await _asked(front, await read_body(request, ChatBody, front.settings.max_body_bytes))
        if asked.body.stream:
            return await EventStream.begun(request, _events(front, asked))
        answer = await while_there(request.receive, _whole(front, asked))
        return as_json(answer)

    return router


async def _asked(front: Front, body: ChatBody) -> Chat:
    adapter = await front.adapter(body.model)
    if body.top_logprobs is not None and not body.logprobs:
        raise refused("top_logprobs is given, expected logprobs to be true", "top_logprobs")
    if body.stream_options is not None and not body.stream:
        raise refused("stream_options is given, expected stream to be true", "stream_options")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise refused("max_tokens and max_completion_tokens are given, expected one of them", "max_tokens")
    try:
        prompt = await front.text.conversation(messages_of(body.messages), front.max_model_len)
    except TextTooLong as error:
        raise too_long(error, "messages") from None
    except ValueError as error:
        raise refused(str(error), "messages") from None
    params = sampling_params(
        body,
        front.settings,
        banned_ids=front.text.card.banned_ids,
        max_tokens=front.room(prompt, body.max_completion_tokens or body.max_tokens, "messages"),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    front.check_candidates(1, params.n)
    return Chat(
        id=new_id("chatcmpl"),
        created=now(),
        body=body,
        adapter=adapter,
        prompt=prompt,
        params=params,
        grammar=await front.grammar(body),
    )


def messages_of(messages: list[ChatMessage]) -> list[dict[str, str]]:
    """Return messages as templates know them; the parts of one are joined."""
    found = []
    for message in messages:
        content = message.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        named = {"name": message.name} if message.name is not None else {}
        found.append({"role": message.role, "content": text, **named})
    return found


async def _whole(front: Front, asked: Chat) -> ChatCompletion:
    answering = Answering(front, asked.body.model, [asked.prompt], [asked.params])
    with front.generate(asked.adapter, [asked.prompt], [asked.params], asked.grammar) as generation:
        await answering.whole(generation)
    return ChatCompletion(
        id=asked.id,
        created=asked.created,
        model=asked.body.model,
        choices=[_choice(front, asked, choice) for choice in answering.choices],
        usage=answering.usage(),
    )


def _choice(front: Front, asked: Chat, choice: Choice) -> ChatChoice:
    return ChatChoice(
        index=choice.index,
        message=AssistantMessage(content=choice.text),
        logprobs=chat_logprobs(front.text, choice.logprobs) if asked.body.logprobs else None,
        finish_reason=choice.reason,
    )


async def _events(front: Front, asked: Chat) -> AsyncGenerator[bytes, None]:
    wants_usage = asked.body.stream_options is not None and asked.body.stream_options.include_usage

    def chunk(choices: list[ChunkChoice], usage: Usage | None = None) -> bytes:
        said = usage if wants_usage else UNSET
        return event(
            ChatCompletionChunk(id=asked.id, created=asked.created, model=asked.body.model, choices=choices, usage=said)
        )

    answering = Answering(front, asked.body.model, [asked.prompt], [asked.params])
    has_begun = False
    with front.generate(asked.adapter, [asked.prompt], [asked.params], asked.grammar) as generation:
        async for piece in answering.pieces(generation):
            if not has_begun:
                has_begun = True
                for choice in answering.choices:
                    yield chunk([ChunkChoice(index=choice.index, delta=Delta(role="assistant", content=""))])
            for one in _chunks(front, asked, piece):
                yield chunk([one])
    if wants_usage:
        yield chunk([], answering.usage())


def _chunks(front: Front, asked: Chat, piece: Piece) -> list[ChunkChoice]:
    """Return what is said of a piece: its text, if there is any, and then why it has ended."""
    chunks = []
    if piece.text or piece.logprobs:
        logprobs = chat_logprobs(front.text, piece.logprobs) if asked.body.logprobs else None
        chunks.append(ChunkChoice(index=piece.index, delta=Delta(content=piece.text), logprobs=logprobs))
    if piece.reason is not None:
        chunks.append(ChunkChoice(index=piece.index, delta=Delta(), finish_reason=piece.reason))
    return chunks
