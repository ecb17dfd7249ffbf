"""Fair share in the engine: how far tenants who both wait may be apart (Sheng et al., OSDI 2024, theorem 4.4)."""

from collections import defaultdict
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence
from verilora.serving.schedule.fair_share import INPUT_COST, OUTPUT_COST

from engines import engine_of, random_model
from listening import check_empty, drain

MAX_ROWS, PROMPT_LEN, NUM_TOKENS = 4, 12, 6
# 2 * max(w_p * L_input, w_q * M): at most M tokens are on their way when a tenant is chosen.
BOUND = 2 * max(INPUT_COST * PROMPT_LEN, OUTPUT_COST * MAX_ROWS * NUM_TOKENS)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


class Service:
    """What each tenant was served, told by listeners."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.served: dict[str, float] = defaultdict(float)
        self.num_asked = 0

    def ask(self, tenant: str, number: int, num_tokens: int = NUM_TOKENS) -> None:
        for _ in range(number):
            self.num_asked += 1
            prompt = (self.num_asked % 150, self.num_asked // 150, *range(PROMPT_LEN - 2))
            params = SamplingParams(max_tokens=num_tokens, seed=self.num_asked)
            self.engine.submit(Request(prompt=prompt, tenant=tenant, params=params), self.hear)

    def hear(self, sequence: Sequence) -> None:
        # The last token is told once, with the end.
        cost = OUTPUT_COST + (INPUT_COST * sequence.num_prompt if sequence.num_produced == 1 else 0)
        self.served[sequence.request.tenant] += cost

    def waits(self, tenant: str) -> bool:
        return any(one.request.tenant == tenant for one in self.engine._scheduler.waiting)

    def spread(self, first: str, second: str, weight: float = 1.0) -> float:
        """Return how far two are apart in any span of steps in which both wait; the first has a weight."""
        apart = []
        while self.waits(first) and self.waits(second):
            self.engine.step()
            apart.append(self.served[first] / weight - self.served[second])
        assert len(apart) > 40, "too short to tell"
        return max(apart) - min(apart)


def service_of(model: Any, **settings: Any) -> Service:
    return Service(engine_of(model, max_rows=MAX_ROWS, **settings))


SETTINGS: list[dict[str, Any]] = [
    {},
    {"memory_bytes": 2**16, "preemption": "recompute"},
    {"memory_bytes": 2**16, "preemption": "swap"},
    {"token_budget": 16, "chunk_len": 8},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_one_that_asks_ten_times_as_much_gets_no_more(model: Any, settings: dict[str, Any]) -> None:
    service = service_of(model, **settings)
    for _ in range(10):
        service.ask("much", 50)
        service.ask("little", 5)
    assert service.spread("much", "little") <= BOUND
    drain(service.engine)
    check_empty(service.engine)


def test_twice_the_weight_is_twice_the_service(model: Any) -> None:
    service = service_of(model, weights={"heavy": 2.0})
    service.ask("light", 60)
    service.ask("heavy", 110)
    assert service.spread("heavy", "light", weight=2.0) <= BOUND
    assert service.served["heavy"] / service.served["light"] == pytest.approx(2, rel=0.15)


def test_a_pause_of_all_saves_nothing_up(model: Any) -> None:
    service = service_of(model)
    service.ask("early", 80)
    drain(service.engine)
    service.ask("late", 80)
    service.ask("early", 80)
    assert service.spread("early", "late") <= BOUND


def test_a_pause_beside_others_saves_nothing_up(model: Any) -> None:
    service = service_of(model)
    service.ask("both", 1)
    service.ask("steady", 160)
    for _ in range(100):
        service.engine.step()
    service.ask("both", 80)
    assert service.spread("steady", "both") <= BOUND


@pytest.mark.parametrize("other", ["slow", "new"])
def test_a_long_answer_saves_nothing_up(model: Any, other: str) -> None:
    """Neither for its own tenant, which has nothing waiting meanwhile, nor for one that comes."""
    service = service_of(model)
    service.ask("slow", 1, num_tokens=200)
    service.engine.step()
    service.ask("steady", 160)
    for _ in range(150):
        service.engine.step()
    service.ask(other, 80)
    assert service.spread("steady", other) <= BOUND


def test_what_is_taken_back_is_charged_once(model: Any) -> None:
    service = service_of(model, memory_bytes=2**15, preemption="recompute", chunk_len=1, token_budget=4)
    for number in range(40):
        service.ask("one", 1, num_tokens=22 + number % 13)
    drain(service.engine)
    assert service.engine.counters().num_preemptions > 0
    assert service.engine._scheduler._fair_share.served("one") == service.served["one"]
