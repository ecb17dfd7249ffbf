"""What the tests of this room share: judged answers without a model."""

from collections.abc import Callable

import pytest

from verilora.finetune.answers.samples import Sample
from verilora.finetune.answers.verdict_cache import Judged, Judgement

MakeJudged = Callable[..., Judged]
RULES = ("one", "two")


@pytest.fixture(scope="session")
def judged() -> MakeJudged:
    """Return a function that makes an answer to a task with a number of kept rules out of two."""

    def make(
        text: str, kept: int = 2, task_id: str = "task", wording: str = "Do it", gates: bool = True, invalid: str = ""
    ) -> Judged:
        rules = {name: "satisfied" if place < kept else "violated" for place, name in enumerate(RULES)}
        if invalid:
            rules = dict.fromkeys(RULES, "invalid")
        compliance = kept / len(RULES) if gates and not invalid else 0.0
        judgement = Judgement(
            behaviour=f"invalid: {invalid}" if invalid else f"behaviour of {text}",
            never_moves=False,
            num_steps=3,
            invalid=invalid,
            gates_kept=gates and not invalid,
            all_kept=compliance == 1,
            compliance=compliance,
            raw_kept=kept,
            rank=(not invalid, gates, kept, -3.0),
            rules=rules,
            judged=RULES,
            vacuous=(),
        )
        return Judged(Sample(task_id, wording, text, 5, 20), judgement)

    return make
