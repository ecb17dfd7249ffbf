"""/v1/completions."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import UNSET

from ...adapters.adapter_record import AdapterRecord
from ...requests.sampling_params import SamplingParams
from ..answering import Answering, Choice, Piece
from ..api.answers import Completion, CompletionChoice, CompletionLogprobs, Usage, as_json
from ..api.api_error import documented, refused
from ..api.bodies import CompletionBody
from ..api.read_body import body_document, read_body
from ..api.sampling import sampling_params
from ..departure import while_there
from ..event_stream import EventStream, event
from ..front import Compiled, Front
from ..logprobs import completion_logprobs
from .document import answers_with, new_id, now

DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Prompts that are to be continued; `texts` are theirs, and said before what follows if they are to be echoed."""

    id: str
    created: int
    body: CompletionBody
    adapter: AdapterRecord | None
    prompts: list[tuple[int, ...]]
    texts: list[str]
    params: list[SamplingParams]
    grammar: Compiled | None

    @property
    def n(self) -> int:
        """How many candidates each prompt has."""
        return self.params[0].n

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the prompts is asked for."""
        return self.body.max_tokens == 0


def completion_routes(front: Front) -> APIRouter:
    """Return the routes of completions."""
    router = APIRouter(tags=["completions"])

    @router.post(
        "/v1/completions",
        operation_id="createCompletion",
        openapi_extra=body_document(CompletionBody),
        responses={**answers_with(Completion, Completion), **documented(400, 404, 413, 429, 500, 503)},
    )
    async def complete(request: Request) -> Response:
        """Continue one or several prompts, in one piece or as a stream of events."""
        asked = await _asked(front, await read_body(request, CompletionBody, front.settings.max_body_bytes))
        if asked.body.stream:
            return await EventStream.begun(request, _events(front, asked))
        answer = await while_there(request.receive, _whole(front, asked))
        return as_json(answer)

    return router


async def _asked(front: Front, body: CompletionBody) -> Continuation:
    adapter = await front.adapter(body.model)
    if body.stream_options is not None and not body.stream:
        raise refused("stream_options is given, expected stream to be true", "stream_options")
    if body.stream and body.echo and body.logprobs is not None:
        raise refused("logprobs of an echo come in one piece only, expected stream to be false", "echo")
    if body.max_tokens == 0 and (not body.echo or body.stream):
        raise refused("max_tokens, got 0, expected at least 1, or echo in one piece", "max_tokens")
    given = _prompts(body)
    front.check_candidates(len(given), body.n or 1)
    prompts = [
        await front.text.tokens(one, front.max_model_len) if isinstance(one, str) else tuple(one) for one in given
    ]
    wanted = DEFAULT_MAX_TOKENS if body.max_tokens is None else max(1, body.max_tokens)
    params = [
        sampling_params(
            body,
            front.settings,
            banned_ids=front.text.card.banned_ids,
            max_tokens=front.room(prompt, wanted, "prompt"),
            logprobs=body.logprobs,
            prompt_logprobs=bool(body.echo and body.logprobs is not None),
        )
        for prompt in prompts
    ]
    texts = [one if isinstance(one, str) else front.text.text(one) for one in given] if body.echo else [""] * len(given)
    return Continuation(
        id=new_id("cmpl"),
        created=now(),
        body=body,
        adapter=adapter,
        prompts=prompts,
        texts=texts,
        params=params,
        grammar=await front.grammar(body),
    )


def _prompts(body: CompletionBody) -> list[str | list[int]]:
    """Return the prompts of a body, of which there may be one or several, in text or in tokens."""
    prompt = body.prompt
    if not prompt:
        raise refused("prompt, got nothing, expected at least one", "prompt")
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [[token for token in prompt if isinstance(token, int)]]
    return [one for one in prompt if not isinstance(one, int)]


async def _whole(front: Front, asked: Continuation) -> Completion:
    answering = Answering(front, asked.body.model, asked.prompts, asked.params)
    with front.generate(asked.adapter, asked.prompts, asked.params, asked.grammar) as generation:
        await answering.whole(generation)
    return Completion(
        id=asked.id,
        created=asked.created,
        model=asked.body.model,
        choices=[_choice(front, asked, choice) for choice in answering.choices],
        usage=answering.usage(),
    )


def _choice(front: Front, asked: Continuation, choice: Choice) -> CompletionChoice:
    echoed = asked.texts[choice.index // asked.n]
    return CompletionChoice(
        index=choice.index,
        text=echoed + ("" if asked.is_empty else choice.text),
        logprobs=_logprobs(front, asked, choice, echoed) if asked.body.logprobs is not None else None,
        finish_reason=choice.reason,
    )


def _logprobs(front: Front, asked: Continuation, choice: Choice, echoed: str) -> CompletionLogprobs:
    prompt = asked.prompts[choice.index // asked.n] if asked.body.echo else ()
    own = [] if asked.is_empty else choice.logprobs
    return completion_logprobs(
        front.text,
        [*(choice.prompt_logprobs or ()), *own],
        [*prompt, *(one.token_id for one in own)],
        [*front.text.offsets(prompt), *(len(echoed) + offset for offset in choice.offsets[: len(own)])],
    )


async def _events(front: Front, asked: Continuation) -> AsyncGenerator[bytes, None]:
    wants_usage = asked.body.stream_options is not None and asked.body.stream_options.include_usage

    def chunk(choices: list[CompletionChoice], usage: Usage | None = None) -> bytes:
        said = usage if wants_usage else UNSET
        return event(
            Completion(id=asked.id, created=asked.created, model=asked.body.model, choices=choices, usage=said)
        )

    answering = Answering(front, asked.body.model, asked.prompts, asked.params)
    unsaid = {choice.index: asked.texts[choice.index // asked.n] for choice in answering.choices}
    with front.generate(asked.adapter, asked.prompts, asked.params, asked.grammar) as generation:
        async for piece in answering.pieces(generation):
            echoed = unsaid.pop(piece.index, "")
            if echoed or piece.text or piece.logprobs or piece.reason:
                yield chunk([_piece(front, asked, piece, echoed)])
    if wants_usage:
        yield chunk([], answering.usage())


def _piece(front: Front, asked: Continuation, piece: Piece, echoed: str) -> CompletionChoice:
    logprobs = None
    if asked.body.logprobs is not None:
        tokens = [one.token_id for one in piece.logprobs]
        logprobs = completion_logprobs(front.text, piece.logprobs, tokens, piece.offsets)
    return CompletionChoice(index=piece.index, text=echoed + piece.text, logprobs=logprobs, finish_reason=piece.reason)
