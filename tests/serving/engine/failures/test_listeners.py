"""Listeners and readers call the engine, fail or leave: their own sequences are concerned, and no others."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from verilora.serving.engine.engine import Engine
from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence
from verilora.specs.files.errors import InputError
from verilora.synth.models.generates import Sampling

from engines import Reference, engine_of, random_model, random_prompts
from listening import Heard, check_empty, drain

GREEDY = SamplingParams(temperature=0, max_tokens=6)
PROMPTS = random_prompts(6)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def reference(model: Any) -> Reference:
    return Reference(model)


@pytest.fixture
def engine(model: Any) -> Engine:
    return engine_of(model, max_rows=4)


def asked(number: int, **changes: Any) -> Request:
    return Request(prompt=PROMPTS[number], params=replace(GREEDY, **changes))


def check(reference: Reference, number: int, output: Output) -> None:
    assert (output.finish, len(output.token_ids)) == (Finish.LENGTH, 6)
    assert reference.follows(PROMPTS[number], output.token_ids)


def test_one_that_fails_ends_its_own_sequence(
    engine: Engine, reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Heard(), Heard()

    def fail_at_second(sequence: Sequence) -> None:
        bad(sequence)
        if sequence.num_produced == 2 and sequence.finish is None:
            raise OSError("the reader has gone")

    def fail_at_end(sequence: Sequence) -> None:
        if sequence.finish is not None:
            raise OSError("the reader has gone")

    (first,), (second,) = engine.submit(asked(0), fail_at_second), engine.submit(asked(1), good)
    engine.submit(asked(2), fail_at_end)
    with caplog.at_level(logging.WARNING):
        drain(engine)
    assert bad.outputs[first].error == "its listener failed: OSError: the reader has gone"
    assert len(bad.outputs[first].token_ids) == 2
    check(reference, 1, good.outputs[second])
    assert caplog.messages == ["a listener failed at the end of a sequence"]
    check_empty(engine)


@pytest.mark.parametrize("moment", ["a token", "the end", "a deadline"])
def test_one_that_cancels_its_neighbours(engine: Engine, reference: Reference, moment: str) -> None:
    heard, sequences = Heard(), []

    def cancel_others(sequence: Sequence) -> None:
        heard(sequence)
        if moment == "a token" or sequence.finish is not None:
            assert engine.cancel(sequence.id) is (sequence.finish is None)
            for other in sequences[3:]:
                engine.cancel(other)

    late = replace(asked(0), deadline=1e-9)
    (first,) = engine.submit(late if moment == "a deadline" else asked(0), cancel_others)
    # Those before it in a step, behind it, and those that wait.
    sequences += [engine.submit(asked(number % 6, seed=number), heard)[0] for number in range(1, 7)]
    drain(engine)
    assert sorted(heard.outputs) == [first, *sequences]
    for number, sequence in enumerate(sequences[:3], start=1):
        check(reference, number, heard.outputs[sequence])
    if moment != "the end":
        assert {heard.outputs[sequence].finish for sequence in sequences[3:]} == {Finish.CANCELLED}
    check_empty(engine)


def test_one_that_asks_for_more(engine: Engine, reference: Reference) -> None:
    heard, answers = Heard(), []

    def ask_more(sequence: Sequence) -> None:
        heard(sequence)
        if sequence.finish is not None and len(heard.outputs) < 4:
            engine.submit(asked(len(heard.outputs)), ask_more)
            # A whole answer, from within a step.
            answers.append(engine.generate([asked(5)])[0][0])

    engine.submit(asked(0), ask_more)
    drain(engine)
    for number, (_, output) in enumerate(sorted(heard.outputs.items())):
        check(reference, number, output)
    assert len(answers) == 3
    for output in answers:
        check(reference, 5, output)
    check_empty(engine)


def test_an_interrupt_in_one_loses_no_news(engine: Engine) -> None:
    heard = Heard()

    def interrupted(sequence: Sequence) -> None:
        heard(sequence)
        if sequence.num_produced == 6:
            raise KeyboardInterrupt

    first = [engine.submit(asked(number), interrupted)[0] for number in range(4)]
    waiting = [engine.submit(asked(number), heard)[0] for number in range(4, 6)]
    with pytest.raises(KeyboardInterrupt):
        drain(engine)
    for _ in range(4):
        try:
            drain(engine)
        except KeyboardInterrupt:
            continue
        break
    assert sorted(heard.outputs) == [*first, *waiting]
    check_empty(engine)


def test_outputs_that_nobody_waits_for_are_cancelled(engine: Engine, reference: Reference) -> None:
    lengths = [2, 4, 60, 60, 60, 60]
    outputs = engine.completed([asked(number, max_tokens=length) for number, length in enumerate(lengths)])
    assert [next(outputs)[0] for _ in range(2)] == [0, 1]
    outputs.close()
    drain(engine)
    check_empty(engine)
    assert engine.counters().output_tokens < 40
    ((output,),) = engine.generate([asked(3)])
    check(reference, 3, output)


def test_a_generator_that_fails_leaves_nothing_running(chat_model: Path) -> None:
    generator = Generator(chat_model)
    asked = [[({"role": "user", "content": "Go"},)], [({"role": "user", "content": "Turn left"},)] * 4]
    generator.engine._decoder.weights.norm[:] = torch.nan
    with pytest.raises(InputError, match="cannot be sampled from") as held:
        next(generator.sample_batches(asked, Sampling(max_new_tokens=8), [0, 1]))
    # While the error, and so all that was there when it came, is still held.
    assert held.value is not None
    assert generator.engine.counters().num_waiting == generator.engine.counters().num_running == 0
    batches = Generator(chat_model)
    left = batches.sample_batches(asked, Sampling(max_new_tokens=8), [0, 1])
    next(left)
    left.close()  # type: ignore[attr-defined]
    drain(batches.engine)
    check_empty(batches.engine)
