import pytest

from verilora.specs.domain import Domain
from verilora.verify.verdicts.batch import verify_batch
from verilora.verify.verdicts.verifier import Verifier

from controllers import AFTER, AFTER_LOOPING, BEFORE


def test_two_processes_give_the_answers_of_one(driving: Domain) -> None:
    texts = [AFTER, AFTER_LOOPING, BEFORE, "1. turn right\n2. stop", "nothing"]
    tasks = list(driving.tasks.values())
    parse = Verifier(driving, driving.rulebook()).parse
    questions = [(parse(text), task) for text in texts for task in tasks]
    alone = verify_batch(Verifier(driving, driving.rulebook()), questions)
    assert verify_batch(Verifier(driving, driving.rulebook()), questions, num_processes=2) == alone
    assert [verdict.task_id for verdict in alone] == [task.id for _, task in questions]
    with pytest.raises(ValueError, match="at least 1 process, got 0"):
        verify_batch(Verifier(driving, driving.rulebook()), questions, num_processes=0)
