"""What an engine tells of its sequences, and whether it holds anything once all have ended."""

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Output
from verilora.serving.requests.sequence import Sequence


class Heard:
    """A listener that keeps the outputs of what ended, by the numbers of the sequences; each ends once."""

    def __init__(self) -> None:
        self.outputs: dict[int, Output] = {}

    def __call__(self, sequence: Sequence) -> None:
        if sequence.finish is not None:
            assert sequence.id not in self.outputs, "a sequence ended twice"
            self.outputs[sequence.id] = sequence.output()


def drain(engine: Engine, most_steps: int = 1000) -> int:
    """Compute steps until nothing is left, and return how many; raises AssertionError where they are too many."""
    for number in range(most_steps):
        if not engine.step():
            return number
    raise AssertionError(f"not done after {most_steps} steps: {engine.counters()}")


def check_empty(engine: Engine) -> None:
    """Assert that nothing runs or waits, that all memory is free or idle, and that no part remembers a sequence."""
    engine.pool.check()
    counters = engine.counters()
    assert counters.pages_kv == counters.num_running == counters.num_waiting == 0, counters
    assert engine.pool.num_available == engine.pool.num_pages
    kept = (engine._sequences, engine._listeners, engine._matchers, engine._sampler._rows)
    assert not any(kept), kept
    assert len(engine._sampler._free_slots) == engine.settings.max_rows
    scheduler = engine._scheduler
    assert not scheduler._reading
    assert not scheduler._swapped_blocks
    assert all(
        not version.num_waiting and not version.num_running for version in scheduler._adapters._versions.values()
    )
