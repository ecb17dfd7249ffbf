"""What the tests of this room share: answers with verdicts, without a model."""

from collections.abc import Callable

import pytest

from verilora.finetune.answers.samples import Sample
from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.verify.records.timely import TimelyLine, TimelyVerdict, status_of
from verilora.verify.records.verdict import GateVerdict, Mode, RuleVerdict, Status, Verdict

MakeScored = Callable[..., ScoredAnswer]
RULES = ("one", "two")


def timely(share: float) -> TimelyVerdict:
    """Return what ten recorded waits say, of which so many see the controller act in time."""
    outcomes = [[place < 10 * share] for place in range(10)]
    lines = (TimelyLine.counted(1, outcomes, 0, None),)
    return TimelyVerdict(
        event="done",
        limit=60,
        premise="",
        recordings="report",
        status=status_of(lines),
        lines=lines,
        reference=1.0,
    )


@pytest.fixture(scope="session")
def scored() -> MakeScored:
    """Return a function that makes an answer to a task with a number of kept rules out of two."""

    def make(
        text: str,
        kept: int = 2,
        task_id: str = "task",
        wording: str = "Do it",
        gates: bool = True,
        invalid: str = "",
        mode: Mode = Mode.GATED,
        timely_share: float | None = None,
    ) -> ScoredAnswer:
        def status(holds: bool) -> Status:
            return Status.INVALID if invalid else Status.SATISFIED if holds else Status.VIOLATED

        verdict = Verdict(
            task_id=task_id,
            world="world",
            world_kind="abstract",
            learned=(),
            free=(),
            notes=(),
            rulebook="default",
            rulebook_digest="0" * 64,
            mode=mode,
            runs="chain",
            ending="patrol",
            otherwise="stay",
            num_steps=3,
            invalid=invalid,
            rules=tuple(
                RuleVerdict(rule_id=name, status=status(place < kept), applicable=True, weight=1.0)
                for place, name in enumerate(RULES)
            ),
            gates=(GateVerdict(name="goal", formula="F done", status=status(gates)),),
            timely=None if timely_share is None or invalid else timely(timely_share),
        )
        behaviour = f"invalid: {invalid}" if invalid else f"behaviour of {text}"
        sample = Sample(
            part="", batch=0, task_id=task_id, wording=wording, text=text, num_prompt_tokens=5, num_tokens=20
        )
        return ScoredAnswer(sample=sample, verdict=verdict, behaviour=behaviour, never_moves=False)

    return make
