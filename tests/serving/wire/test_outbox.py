"""What waits for a slow front is joined, and bounded."""

from verilora.serving.requests.request import Finish
from verilora.serving.wire.messages import Out
from verilora.serving.wire.outbox import Outbox


def test_what_waits_of_a_candidate_is_one_out() -> None:
    outbox = Outbox(100)
    outbox.put(Out(1, 0, (5,)))
    outbox.put(Out(1, 1, (9,)))
    outbox.put(Out(1, 0, (6, 7), finish=Finish.STOP, stopped="x"))
    assert [*outbox.waiting()] == [Out(1, 0, (5, 6, 7), finish=Finish.STOP, stopped="x"), Out(1, 1, (9,))]
    assert outbox.num_tokens == 4


def test_it_is_full_of_tokens_and_the_oldest_goes_first() -> None:
    outbox = Outbox(2)
    outbox.put(Out(8, 0, (1, 2)))
    assert not outbox.is_full
    outbox.put(Out(7, 0, (1,)))
    assert outbox.is_full
    assert outbox.oldest() == 7
    outbox.drop(7)
    assert not outbox.is_full
    outbox.clear()
    assert (outbox.num_tokens, bool(outbox), outbox.oldest()) == (0, False, None)
