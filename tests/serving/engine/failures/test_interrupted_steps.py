"""A step that fails or is interrupted, anywhere: what runs ends with the error, and the engine goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, random_prompts, save_adapter
from listening import Heard, check_empty, drain

GREEDY = SamplingParams(temperature=0, max_tokens=6)
PROMPTS = random_prompts(6)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def adapter(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapters") / "one", model)


@pytest.fixture(scope="module")
def reference(model: Any, adapter: Path) -> Reference:
    return Reference(random_model(num_hidden_layers=1), [adapter])


@pytest.fixture(params=[False, True], ids=["contiguous", "paged"])
def engine(request: pytest.FixtureRequest, model: Any, adapter: Path) -> Engine:
    made = engine_of(model, is_paged=request.param, max_rows=4)
    made.add_adapter("one", adapter)
    return made


def asked(number: int, **changes: Any) -> Request:
    adapter = "one" if number % 2 else None
    return Request(prompt=PROMPTS[number], adapter=adapter, params=replace(GREEDY, **changes))


def check_served(engine: Engine, reference: Reference) -> None:
    """Assert that the engine answers as if nothing had happened, and then holds nothing."""
    requests = [asked(number) for number in range(6)]
    for request, (output,) in zip(requests, engine.generate(requests), strict=True):
        assert output.finish is Finish.LENGTH
        assert reference.follows(request.prompt, output.token_ids, request.adapter)
    drain(engine)
    check_empty(engine)


def fail_once(
    patch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException, calls_before: int = 0
) -> list[int]:
    """Let a method raise an error the next time, or some calls later; return how many are left, which goes on."""
    plain = getattr(owner, name)
    left = [calls_before]

    def failing(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            raise error
        return plain(*args, **kwargs)

    patch.setattr(owner, name, failing)
    return left


PLACES: list[tuple[str, Callable[[Engine], Any], str]] = [
    ("the model", lambda engine: engine._decoder, "forward"),
    ("carrying a plan out", lambda engine: engine._runner, "run"),
    ("loading an adapter", lambda engine: engine._runner, "stage"),
    ("planning", lambda engine: engine._scheduler, "_begin_some"),
    ("beginning", lambda engine: engine._scheduler, "_begin"),
    ("opening", lambda engine: engine._sampler, "open"),
    ("noting what was done", lambda engine: engine._scheduler, "commit"),
    ("logits", lambda engine: engine._decoder, "logits"),
    ("drawing", lambda engine: engine._sampler, "launch"),
    ("stopping", lambda engine: engine._stopping, "finish_of"),
]


@pytest.mark.parametrize(("place", "name"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
@pytest.mark.parametrize("steps_before", [0, 3])
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_step_that_is_cut_off(
    engine: Engine,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[Engine], Any],
    name: str,
    steps_before: int,
    error: BaseException,
) -> None:
    heard = Heard()
    sequences = [engine.submit(asked(number, seed=number), heard)[0] for number in range(6)]
    for _ in range(steps_before):
        engine.step()
    with monkeypatch.context() as patch:
        left = fail_once(patch, place(engine), name, error, calls_before=int(name == "_begin"))
        for _ in range(8):
            try:
                engine.step()
            except KeyboardInterrupt:
                assert isinstance(error, KeyboardInterrupt)
                break
            engine.pool.check()
    # The one adapter is loaded in the first step.
    assert left[0] < 0 or (name == "stage" and steps_before)
    said = "could not be loaded: RuntimeError" if name == "stage" else "a step failed: RuntimeError"
    said = "the engine was interrupted" if isinstance(error, KeyboardInterrupt) else said
    assert all(said in output.error for output in heard.outputs.values() if output.finish is Finish.ERROR)
    drain(engine)
    assert sorted(heard.outputs) == sequences, "each ends once"
    for number, sequence in enumerate(sequences):
        # What was drawn before is right, too.
        output = heard.outputs[sequence]
        assert reference.follows(PROMPTS[number], output.token_ids, asked(number).adapter)
    check_served(engine, reference)


def test_answers_that_are_interrupted_leave_nothing(
    engine: Engine, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_once(patch, engine._decoder, "forward", KeyboardInterrupt(), calls_before=2)
        with pytest.raises(KeyboardInterrupt):
            engine.generate([asked(number) for number in range(6)])
    drain(engine)
    check_empty(engine)
    check_served(engine, reference)
