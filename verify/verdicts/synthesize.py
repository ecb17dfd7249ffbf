"""Synthesis: a language model is asked for steps, and its answers are judged."""

from collections.abc import Sequence

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.phrase import tokenize
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.models.aligned_sampling import sample_aligned
from ...synth.models.generates import Completion, Generates, Sampling
from ...synth.models.prompt import Prompter, PromptStyle
from .ranked_answer import RankedAnswer, rank_answers
from .settings import Settings
from .verifier import Verifier

_SAMPLING = Sampling()


def synthesize(
    domain: Domain,
    generator: Generates,
    task: str | None = None,
    *,
    text: str | None = None,
    rulebook: str | Rulebook | None = None,
    settings: Settings | None = None,
    num_answers: int = 1,
    sampling: Sampling = _SAMPLING,
    align: bool = False,
    seed: int = 0,
) -> list[RankedAnswer]:
    """Return a language model's different answers with their verdicts, the best first; raises InputError.

    It is asked in the words of `text`, or in the first wording of the task with this id, as which it is judged. A text
    that is the wording of a task needs no id; answers to any other are only read. `align` asks a general model twice.
    """
    if num_answers < 1:
        raise ValueError(f"num_answers: expected at least 1, got {num_answers}")
    chosen, wording = asked(domain, task, text)
    verifier = Verifier(domain, rulebook, settings)
    prompter = Prompter(domain, generator.prompt_style, verifier.settings.reading)
    completions = _sample(generator, prompter, [wording] * num_answers, sampling, align=align, seed=seed)
    return rank_answers((completion.text for completion in completions), chosen, verifier)


def asked(domain: Domain, task_id: str | None, text: str | None) -> tuple[Task | None, str]:
    """Return the task as which answers are judged, and the words to ask in; raises InputError.

    A text that is a task's wording needs no task id; for any other text without one there is no task.
    """
    if text is not None and not text.strip():
        raise InputError("the text to ask with (--text)", "expected words, got none")
    if task_id is not None:
        task = domain.task(task_id)
        return task, text or next(iter(task.wordings.values()))[0]
    if text is None:
        ids = "\n  ".join(domain.tasks)
        raise InputError("synthesize", f"nothing to ask: expected a text (--text), or a task (--for), one of\n  {ids}")
    known = [task for task in domain.tasks.values() if _words(text) in map(_words, _wordings(task))]
    return (known[0] if len(known) == 1 else None), text


def _wordings(task: Task) -> list[str]:
    return [task.english, *(wording for wordings in task.wordings.values() for wording in wordings)]


def _words(text: str) -> list[str]:
    return [token for token in tokenize(text) if token.isalnum()]


def _sample(
    generator: Generates, prompter: Prompter, wordings: Sequence[str], sampling: Sampling, *, align: bool, seed: int
) -> list[Completion]:
    if align and prompter.style is PromptStyle.PLAIN:
        message = "was trained to answer in the vocabulary: only a general model (--model) can be asked twice (--align)"
        raise InputError(generator.folder, message)
    try:
        if align:
            return sample_aligned(generator, prompter, wordings, sampling, seed)
        return generator.sample([prompter.ask(words) for words in wordings], sampling, seed)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(generator.folder, str(error)) from None
