"""Messages come back as they were sent, and what is none is refused."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from verilora.serving.engine.engine import Counters
from verilora.serving.requests.request import Finish, TokenLogprobs
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.messages import (
    Abort,
    Add,
    FromEngine,
    FromFront,
    Hello,
    Leave,
    Load,
    Loaded,
    ModelCard,
    Out,
    Ready,
    Stats,
    Step,
    Unload,
    decode_from_engine,
    decode_from_front,
    encode,
)

PARAMS = SamplingParams(
    temperature=0.5, logit_bias={3: -1.5}, banned_ids=frozenset({1, 2}), stop=("\n",), stop_token_ids=frozenset({7})
)
LOGPROBS = (TokenLogprobs(5, -0.5, ((5, -0.5), (6, -2.0))),)
FROM_FRONT = (
    Hello(1),
    Add(3, (1, 2, 3), PARAMS, "digest", "folder", "tenant", 5.0),
    Add(4, (1,), SamplingParams()),
    Abort(3),
    Load("digest", "folder"),
    Unload("digest"),
    Leave(),
)
FROM_ENGINE = (
    Ready(1, ModelCard("{}", "", {"eos_token": "<e>"}, (0,), 10, 20, 30)),
    Step((Out(3, 0, (5,), LOGPROBS, Finish.STOP, stopped="x", prompt_logprobs=(None, *LOGPROBS)),), Stats(num_steps=4)),
    Step((), Stats()),
    Loaded("digest", "why not"),
)


@pytest.mark.parametrize("message", FROM_FRONT, ids=lambda message: type(message).__name__)
def test_what_a_front_says_arrives(message: FromFront) -> None:
    assert decode_from_front(encode(message)) == message


@pytest.mark.parametrize("message", FROM_ENGINE, ids=lambda message: type(message).__name__)
def test_what_the_engine_says_arrives(message: FromEngine) -> None:
    assert decode_from_engine(encode(message)) == message


@pytest.mark.parametrize(
    "content",
    [b"", b"\xc1", ["nonsense"], ["abort"], ["abort", "x"], ["abort", 1, 2], ["add", 1, [1], {"top_p": 7}], {}, None],
    ids=str,
)
def test_what_is_no_message_is_refused(content: object) -> None:
    payload = content if isinstance(content, bytes) else msgspec.msgpack.encode(content)
    with pytest.raises((msgspec.ValidationError, msgspec.DecodeError)):
        decode_from_front(payload)


def test_a_step_is_nothing_that_a_front_says() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_from_front(encode(FROM_ENGINE[1]))


def test_the_engines_figures_all_travel() -> None:
    assert Stats.__struct_fields__ == tuple(field.name for field in dataclasses.fields(Counters))


def test_messages_need_no_torch_and_nothing_pickles() -> None:
    code = "import sys; import verilora.serving.wire.engine_host; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    for path in (Path(__file__).parents[3] / "serving").rglob("*.py"):
        assert "pickle" not in path.read_text().replace("No pickle", ""), path
