"""Bodies of requests, in the names of OpenAI and vLLM. What is not honoured is refused by its name."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .api_error import refused

Token = Annotated[int, Field(ge=0, lt=2**31)]
# What is wrong or too long is seen at its beginning: a large body does not hold up others.
Tokens = Annotated[list[Token], Field(max_length=2**20, fail_fast=True)]
Stops = Annotated[list[str], Field(max_length=64, fail_fast=True)]
MOST_PROMPTS, MOST_FIELDS = 1024, 64
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenName = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]

# What other servers know, with values that ask for nothing.
_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "audio": (),
    "best_of": (1,),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "function_call": ("none",),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1, 1.0),
    "metadata": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "prompt_logprobs": (),
    "reasoning_effort": (),
    "service_tier": ("auto", "default"),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none",),
    "tools": ([],),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
    "verbosity": (),
    "web_search_options": (),
}


class Body(BaseModel):
    """A body: fields have exactly their types, and others than those are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    unsupported: ClassVar[Mapping[str, tuple[object, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if len(content) > MOST_FIELDS:
            raise refused(f"the body has {len(content)} fields in one object, expected at most {MOST_FIELDS}")
        for name in content.keys() & cls.unsupported.keys():
            if content[name] is not None and content[name] not in cls.unsupported[name]:
                raise refused(f"{name} is not supported by this server", name, "unsupported_parameter")
        return {name: value for name, value in content.items() if name not in cls.unsupported}


class StreamOptions(Body):
    """What a stream tells besides. `continuous_usage_stats` is not supported."""

    unsupported = {"continuous_usage_stats": (False,), "include_obfuscation": (False,)}
    include_usage: bool = False


class JsonSchema(Body):
    """A JSON schema that an answer follows."""

    model_config = ConfigDict(populate_by_name=False)

    name: str | None = Field(None, max_length=256)
    description: str | None = None
    content: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """What an answer is: text, a JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Body):
    """What an answer follows: JSON of a schema, or a grammar that the server knows by name."""

    unsupported = {"choice": (), "regex": (), "structural_tag": (), "json_object": (False,)}

    json_schema: dict[str, Any] | None = Field(None, alias="json")
    grammar: str | None = Field(None, max_length=64)


class SamplingBody(Body):
    """How to choose tokens and when to end; None stands for the default."""

    unsupported = _UNSUPPORTED

    model: str = Field(max_length=256)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Share | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | Stops | None = None
    stop_token_ids: Annotated[list[Token], Field(max_length=1024, fail_fast=True)] | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    logit_bias: Annotated[dict[TokenName, Bias], Field(max_length=1024)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    user: str | None = Field(None, max_length=1024)


class CompletionBody(SamplingBody):
    """A body of /v1/completions."""

    prompt: (
        str
        | Annotated[list[str], Field(max_length=MOST_PROMPTS, fail_fast=True)]
        | Tokens
        | Annotated[list[Tokens], Field(max_length=MOST_PROMPTS, fail_fast=True)]
    )
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None


class TextPart(Body):
    """A part of a message. Only text is supported."""

    type: Literal["text"]
    text: str


class ChatMessage(Body):
    """A message of a conversation."""

    unsupported = {
        "annotations": ([],),
        "audio": (),
        "function_call": (),
        "reasoning": (),
        "reasoning_content": (),
        "refusal": (),
        "tool_call_id": (),
        "tool_calls": ([],),
    }
    role: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    content: str | Annotated[list[TextPart], Field(max_length=1024, fail_fast=True)]
    name: str | None = Field(None, max_length=256)


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=4096, fail_fast=True)]


class ChatBody(SamplingBody):
    """A body of /v1/chat/completions."""

    messages: Messages
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


class TokenizeBody(Body):
    """A body of /tokenize: a text, or a conversation."""

    model: str | None = Field(None, max_length=256)
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool = True
    return_token_strs: bool = False


class DetokenizeBody(Body):
    """A body of /detokenize."""

    model: str | None = Field(None, max_length=256)
    tokens: Tokens
