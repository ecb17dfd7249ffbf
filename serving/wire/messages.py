"""What a front and the engine's process say to each other: arrays with a tag, in msgpack. Nothing here is code."""

import msgspec

from ..requests.request import Finish, TokenLogprobs
from ..requests.sampling_params import SamplingParams

VERSION = 2
"""Of these messages. Both sides say theirs first, and part if they differ."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A message is an array; those of a union begin with their tag."""


class Hello(Message, frozen=True, tag="hello"):
    """A front is there."""

    version: int


class Add(Message, frozen=True, tag="add"):
    """A prompt to continue. `id` is the front's own number; it grows.

    digest, folder  name the adapter and where it is read from if the engine does not have it; None for the base model
    deadline        seconds from now on within which its first token is of use
    grammar         the key of one that was sent before
    is_retired      whether the adapter has been let go of: it is there for this request alone
    """

    id: int
    tokens: tuple[int, ...]
    params: SamplingParams
    digest: str | None = None
    folder: str | None = None
    tenant: str = ""
    deadline: float | None = None
    grammar: str | None = None
    is_retired: bool = False


class SendGrammar(Message, frozen=True, tag="grammar"):
    """A compiled grammar, which requests behind this name by its key."""

    key: str
    compiled: bytes


class Abort(Message, frozen=True, tag="abort"):
    """Nobody waits for this any more."""

    id: int


class Load(Message, frozen=True, tag="load"):
    """Register an adapter now, before anybody asks for it."""

    digest: str
    folder: str


class Unload(Message, frozen=True, tag="unload"):
    """Let go of an adapter."""

    digest: str


class Leave(Message, frozen=True, tag="leave"):
    """A front goes: everything of it is cancelled."""


class Stats(Message, frozen=True):
    """What the engine has and did; the fields are those of its counters."""

    pages_free: int = 0
    pages_kv: int = 0
    pages_adapter: int = 0
    pages_prefix: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_steps: int = 0
    num_preemptions: int = 0
    prompt_tokens: int = 0
    prompt_tokens_cached: int = 0
    output_tokens: int = 0
    adapter_reads: int = 0
    adapter_loads: int = 0


class Out(Message, frozen=True):
    """What is new of one candidate of a request.

    tokens       those that were drawn since the last time, and `logprobs` theirs if they were asked for
    finish       why it has ended; None while it goes on
    error        what went wrong, for people; `refused` says that it is the request's fault
    stopped      the text up to the stop string that ended it
    """

    id: int
    candidate: int
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish: Finish | None = None
    error: str = ""
    refused: bool = False
    stopped: str | None = None
    num_cached: int = 0
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None


class Step(Message, frozen=True, tag="step"):
    """All that is new after a step, for one front."""

    outs: tuple[Out, ...]
    stats: Stats


class Loaded(Message, frozen=True, tag="loaded"):
    """An adapter is registered, or `error` says why not; it names no path."""

    digest: str
    error: str = ""


class ModelCard(Message, frozen=True):
    """What a front must know of the model, so that it needs neither its files nor torch.

    tokenizer       in the JSON of the package `tokenizers`
    special_tokens  what the chat template may name: bos_token, eos_token and others
    """

    tokenizer: str
    chat_template: str
    special_tokens: dict[str, str]
    banned_ids: tuple[int, ...]
    vocab_size: int
    context_len: int
    num_pages: int


class Ready(Message, frozen=True, tag="ready"):
    """The engine answers a front, once its model is loaded."""

    version: int
    card: ModelCard


class Beat(Message, frozen=True, tag="beat"):
    """The engine's process is alive, at `time` by its monotonic clock."""

    time: float


FromFront = Hello | Add | SendGrammar | Abort | Load | Unload | Leave
FromEngine = Ready | Step | Loaded

_encoder = msgspec.msgpack.Encoder()
_from_front: msgspec.msgpack.Decoder[FromFront] = msgspec.msgpack.Decoder(FromFront)
_from_engine: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)


def encode(message: Message) -> bytes:
    """Return a message as bytes."""
    return _encoder.encode(message)


def decode_from_front(payload: bytes) -> FromFront:
    """Return what a front says; raises msgspec.ValidationError or DecodeError for anything else."""
    return _from_front.decode(payload)


def decode_from_engine(payload: bytes) -> FromEngine:
    """Return what the engine says; raises msgspec.ValidationError or DecodeError for anything else."""
    return _from_engine.decode(payload)
