"""The lock of an engine."""

import time
from threading import Event, Thread

from verilora.serving.engine.fair_lock import FairLock


def test_a_loop_that_holds_it_lets_others_in_between() -> None:
    lock, done = FairLock(), Event()
    turns = [0]

    def loop() -> None:
        while not done.is_set():
            with lock:
                turns[0] += 1
                time.sleep(0.005)

    thread = Thread(target=loop)
    thread.start()
    missed = []
    for _ in range(20):
        before = turns[0]
        with lock:
            missed.append(turns[0] - before)
    done.set()
    thread.join()
    # The turn that was under way, and one that had passed the turnstile before us.
    assert max(missed) <= 2


def test_who_holds_it_can_take_it_again_while_others_wait() -> None:
    lock, entered = FairLock(), []

    def wait() -> None:
        with lock:
            entered.append("other")

    with lock:
        thread = Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        with lock:
            entered.append("again")
    thread.join()
    assert entered == ["again", "other"]
