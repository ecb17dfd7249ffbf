"""Many controllers on several processes, with the same answers as on one."""

from collections.abc import Sequence

from ...specs.processes.forked import Forked
from ...specs.task import Task
from ..records.verdict import Verdict
from .response import Parsed
from .verifier import Verifier

Question = tuple[Parsed, Task]
"""What a response holds, and the task that it answers."""


def verify_batch(verifier: Verifier, questions: Sequence[Question], num_processes: int = 1) -> list[Verdict]:
    """Return the verdicts on questions, in their order. The processes share what the verifier has translated so far."""
    if num_processes < 1:
        raise ValueError(f"expected at least 1 process, got {num_processes}")
    verifier.prepare({task.id: task for _, task in questions}.values())
    # Every n-th question to each, so that hard ones that stand together are spread; the first share is done here.
    shares = [questions[first::num_processes] for first in range(num_processes)]
    children = [Forked(_verify_all, verifier, share) for share in shares[1:]]
    try:
        parts = [_verify_all(verifier, shares[0]), *(child.result() for child in children)]
    finally:
        for child in children:
            child.end()
    verdicts: list[Verdict | None] = [None] * len(questions)
    for first, part in enumerate(parts):
        verdicts[first::num_processes] = part
    return [verdict for verdict in verdicts if verdict is not None]


def _verify_all(verifier: Verifier, questions: Sequence[Question]) -> list[Verdict]:
    return [verifier.verify(parsed, task) for parsed, task in questions]
