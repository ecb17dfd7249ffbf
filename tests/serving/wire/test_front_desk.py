"""What waits for a front that does not read, and what is given up for it."""

from verilora.serving.requests.request import Finish
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.adapter_loads import AdapterLoads
from verilora.serving.wire.front_desk import FrontDesk
from verilora.serving.wire.messages import Abort, Add, Out

from engines import engine_of, random_model


def test_the_oldest_of_which_something_waits_is_cancelled_by_name() -> None:
    engine = engine_of(random_model())
    desk = FrontDesk(engine, AdapterLoads(engine), max_waiting_tokens=100)
    for number in range(3):
        desk.add(Add(number, (1, 2 + number), SamplingParams(temperature=0, max_tokens=40, n=2 - number % 2)))
    while engine.step():
        desk.relieve()
    outs: list[Out] = [*desk.outbox.waiting()]
    # 40 tokens of five candidates are too many, and those of the last three are, too.
    errors = {out.id: out.error for out in outs if out.finish is Finish.ERROR}
    assert errors.keys() == {0, 1}
    assert all("read too slowly" in error for error in errors.values())
    assert [len(out.tokens) for out in outs if out.id == 2] == [40, 40]
    assert engine.counters().pages_kv == 0


def test_of_what_is_aborted_nothing_waits() -> None:
    engine = engine_of(random_model())
    desk = FrontDesk(engine, AdapterLoads(engine), max_waiting_tokens=100)
    desk.add(Add(0, (1, 2), SamplingParams(max_tokens=40)))
    engine.step()
    assert desk.outbox
    desk.abort(Abort(0))
    assert not desk.outbox
    while engine.step():
        pass
    assert (engine.counters().output_tokens, bool(desk.outbox)) == (1, False)
