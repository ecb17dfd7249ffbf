"""What holds at every step, whatever is asked in whatever order, with memory for few sequences."""

import random
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.memory.pool import Owner
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, save_adapter
from listening import Heard, check_empty, drain

NUM_CALLS = 250
# With one sequence at a time each of the few that wait takes its tokens and the chunks of its prompt.
MOST_STEPS = 4000
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def folders(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"adapter{seed}", model, seed, r=2 + seed) for seed in range(5)]


@pytest.fixture(scope="module")
def reference(folders: list[Path]) -> Reference:
    return Reference(random_model(num_hidden_layers=1), folders)


class Driver:
    """Calls an engine as it comes, and knows what each sequence is to be answered by."""

    def __init__(self, engine: Engine, folders: list[Path], seed: int) -> None:
        self.engine, self.folders, self.random = engine, folders, random.Random(seed)
        self.heard = Heard()
        self.asked: dict[int, tuple[Request, Path | None]] = {}
        self.names: dict[str, Path] = {}
        self.added: set[Path] = set()

    def submit(self) -> None:
        draw = self.random
        name = draw.choice([None, *self.names])
        start, length = draw.randrange(4), draw.choice([1, 5, 31, 32, 33, 60])
        params = SamplingParams(temperature=0, max_tokens=draw.choice([1, 2, 8, 40]), n=draw.choice([1, 1, 3]))
        request = Request(
            prompt=tuple(range(start, start + length)),
            adapter=name,
            tenant=draw.choice("xyz"),
            is_shared=draw.random() < 0.3,
            params=replace(params, prompt_logprobs=draw.random() < 0.1),
        )
        for number in self.engine.submit(request, self.heard):
            self.asked[number] = (request, None if name is None else self.names[name])

    def cancel(self) -> None:
        left = self.asked.keys() - self.heard.outputs.keys()
        if left:
            number = self.random.choice(sorted(left))
            assert self.engine.cancel(number)
            assert self.heard.outputs[number].finish is Finish.CANCELLED

    def add(self) -> None:
        name, folder = self.random.choice(NAMES), self.random.choice(self.folders)
        self.engine.add_adapter(name, folder)
        self.names[name] = folder

    def remove(self) -> None:
        if self.names:
            name = self.random.choice(sorted(self.names))
            self.engine.remove_adapter(name)
            del self.names[name]

    def call(self) -> None:
        (chosen,) = self.random.choices(
            [self.engine.step, self.submit, self.cancel, self.add, self.remove], weights=[20, 6, 2, 1, 0.5]
        )
        chosen()
        self.check()

    def check(self) -> None:
        """Assert that the books of the memory are right."""
        engine, pool = self.engine, self.engine.pool
        pool.check()
        counters = engine.counters()
        pages = counters.pages_free + counters.pages_kv + counters.pages_adapter + counters.pages_prefix
        assert pages == pool.num_pages
        scheduler = engine._scheduler
        users: dict[int, int] = defaultdict(int)
        for sequence in scheduler.running.values():
            held = {page for block in sequence.blocks for page in block}
            if sequence.version is not None:
                assert sequence.version.slot >= 0
                held |= {*sequence.version.pages}
            assert all(page in pool._owners for page in held), "a page that is free is in use"
            for page in held:
                users[page] += pool._owners[page] is Owner.KV
        assert all(number <= 1 for number in users.values()), "two sequences write one page"
        assert sum(users.values()) == counters.pages_kv
        slots = [version.slot for version in scheduler._adapters._versions.values() if version.pages]
        assert len(slots) == len(set(slots))
        known = len(scheduler.running) + len(scheduler.waiting)
        assert known == len(self.asked) - len(self.heard.outputs) == len(engine._sequences)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("preemption", ["swap", "recompute"])
@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_the_books_are_right_and_the_tokens_are(
    model: Any, folders: list[Path], reference: Reference, seed: int, preemption: str, is_paged: bool
) -> None:
    settings = random.Random(seed).choice(
        [{"max_loaded": 2}, {"max_adapters": 2}, {"chunk_len": 8, "token_budget": 24}]
    )
    engine = engine_of(
        model, is_paged=is_paged, preemption=preemption, memory_bytes=10 * 2**13, **{"max_rows": 6, **settings}
    )
    driver = Driver(engine, folders, seed)
    for _ in range(NUM_CALLS):
        driver.call()
    while engine._sequences:
        engine.step()
        driver.check()
        assert engine.counters().num_steps < MOST_STEPS, "something waits for ever"
    drain(engine)
    check_empty(engine)
    assert engine.counters().num_preemptions > 0
    follows = cache(reference.follows)
    for number, (request, folder) in driver.asked.items():
        output = driver.heard.outputs[number]
        assert output.finish in (Finish.LENGTH, Finish.CANCELLED), output
        assert follows(request.prompt, output.token_ids, None if folder is None else folder.name)


def test_a_version_is_read_once(model: Any, folders: list[Path]) -> None:
    engine = engine_of(model, max_loaded=1, memory_bytes=2**18)
    for folder in folders:
        engine.add_adapter(folder.name, folder)
    for number in range(20):
        request = Request(prompt=(number,), adapter=folders[number % 5].name, params=SamplingParams(max_tokens=2))
        engine.generate([request, replace(request, adapter=None)])
    counters = engine.counters()
    assert (counters.adapter_reads, counters.adapter_loads) == (5, 20)
