"""An interrupt at any line of the engine's own books, half written as they are then: the engine goes on."""

import random
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

from engines import engine_of, random_model, save_adapter
from listening import Heard, check_empty, drain

NUM_INTERRUPTS, NUM_PARTS = 40, 4
BOOKS = ("serving/schedule/", "serving/memory/", "serving/engine/engine.py", "serving/engine/sampler.py")


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"adapter{seed}", model, seed) for seed in range(2)]


class Interrupter:
    """Counts the lines of the books that are run, and raises KeyboardInterrupt at one of them."""

    def __init__(self, line: int) -> None:
        self.line, self.num_lines = line, 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        # What mends them is left alone.
        is_book = any(name in code.co_filename for name in BOOKS) and not code.co_name.endswith("give_up")
        return self._count if is_book else None

    def _count(self, frame: FrameType, event: str, arg: object) -> Any:
        self.num_lines += event == "line"
        if self.num_lines == self.line:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self._count


class HeardAgain(Heard):
    """Hears of an end once more where the interrupt came while it was told."""

    def __call__(self, sequence: Sequence) -> None:
        if sequence.finish is not None and self.outputs.get(sequence.id) != sequence.output():
            super().__call__(sequence)


def interrupted(engine: Engine, interrupter: Interrupter) -> bool:
    """Compute steps until nothing is left or the interrupt comes; return whether it came."""
    before = sys.gettrace()
    sys.settrace(interrupter)
    try:
        while engine.step():
            pass
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_an_interrupt_at_any_line(model: Any, adapters: list[Path], part: int) -> None:
    def asked() -> tuple[Engine, Heard, list[int]]:
        settings = {"memory_bytes": 10 * 2**13, "max_rows": 3, "max_loaded": 1, "chunk_len": 16, "token_budget": 40}
        engine = engine_of(model, is_paged=True, preemption="recompute", **settings)
        for folder in adapters:
            engine.add_adapter(folder.name, folder)
        heard, numbers = HeardAgain(), []
        for number in range(6):
            adapter = (None, "adapter0", "adapter1")[number % 3]
            params = SamplingParams(temperature=0, max_tokens=12)
            request = Request(prompt=(*range(number % 2, 28),), adapter=adapter, tenant=str(number % 2), params=params)
            numbers += engine.submit(request, heard)
        return engine, heard, numbers

    counting = Interrupter(-1)
    engine, expected, _ = asked()
    assert not interrupted(engine, counting)
    draw = random.Random(0)
    for line in sorted(draw.sample(range(1, counting.num_lines), NUM_INTERRUPTS))[part::NUM_PARTS]:
        engine, heard, numbers = asked()
        assert interrupted(engine, Interrupter(line)), line
        drain(engine)
        check_empty(engine)
        assert sorted(heard.outputs) == numbers, line
        for number, output in heard.outputs.items():
            whole = expected.outputs[number].token_ids
            assert output.token_ids == whole[: len(output.token_ids)], line
            assert output.finish is Finish.LENGTH or output.error == "the engine was interrupted", line
