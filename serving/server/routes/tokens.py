"""/tokenize and /detokenize, as vLLM has them."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ..api.answers import Text, Tokens, as_json
from ..api.api_error import documented, refused
from ..api.bodies import DetokenizeBody, TokenizeBody
from ..api.read_body import body_document, read_body
from ..front import Front
from .chat import messages_of
from .document import answers_with

MOST_TOKENS = 2**16


def token_routes(front: Front) -> APIRouter:
    """Return the routes of tokens."""
    router = APIRouter(tags=["tokens"])

    @router.post(
        "/tokenize",
        operation_id="tokenize",
        openapi_extra=body_document(TokenizeBody),
        responses={**answers_with(Tokens), **documented(400, 404, 413, 503)},
    )
    async def tokenize(request: Request) -> Response:
        """Return the tokens of a text, or those that a conversation becomes."""
        body = await read_body(request, TokenizeBody, front.settings.max_body_bytes)
        if body.model is not None:
            await front.adapter(body.model)
        tokens = await _tokens(front, body)
        answer = Tokens(
            count=len(tokens),
            max_model_len=front.max_model_len,
            tokens=[*tokens],
            token_strs=[front.text.spelled(token)[0] for token in tokens] if body.return_token_strs else None,
        )
        return as_json(answer)

    @router.post(
        "/detokenize",
        operation_id="detokenize",
        openapi_extra=body_document(DetokenizeBody),
        responses={**answers_with(Text), **documented(400, 404, 413, 503)},
    )
    async def detokenize(request: Request) -> Response:
        """Return the text of tokens, without special ones."""
        body = await read_body(request, DetokenizeBody, front.settings.max_body_bytes)
        if body.model is not None:
            await front.adapter(body.model)
        answer = Text(prompt=await front.text.long_text(body.tokens))
        return as_json(answer)

    return router


async def _tokens(front: Front, body: TokenizeBody) -> tuple[int, ...]:
    if (body.prompt is None) == (body.messages is None):
        raise refused("prompt and messages, expected one of them", "prompt")
    # So that what is too long for the model can be counted, too.
    most = max(MOST_TOKENS, front.max_model_len)
    if body.prompt is not None:
        return await front.text.tokens(body.prompt, most, add_special_tokens=body.add_special_tokens)
    assert body.messages is not None
    try:
        return await front.text.conversation(messages_of(body.messages), most)
    except ValueError as error:
        raise refused(str(error), "messages") from None
