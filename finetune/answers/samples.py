"""Sampling responses in fixed, numbered batches, each a function of the seed and its number and redone as a whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.record import Record
from ...specs.files.record_file import RecordFile
from ...specs.task import Split, Task
from ...synth.models.generates import Completion, Generates, Sampling
from ...synth.models.prompt import Conversation, Prompter
from ..run.seeds import derived_seed


@dataclass(frozen=True, slots=True)
class Ask:
    """One response that is wanted: to a task, asked in a wording, in a conversation that ends with the user."""

    task: Task
    wording: str
    conversation: Conversation


class Sample(Record):
    """A response, drawn in a batch of a part of the run. `num_tokens` are the sampled ones, its end included."""

    part: str
    batch: int
    task_id: str
    wording: str
    text: str
    num_prompt_tokens: int
    num_tokens: int


def asks_of(domain: Domain, split: Split, per_prompt: int, prompter: Prompter) -> list[Ask]:
    """Return what is asked of a split: every wording of every task so many times, one round of wordings after another.

    The split `validation` holds other wordings of the train tasks, `test` tasks of its own.
    """
    return [Ask(task, wording, prompter.ask(wording)) for task, wording in domain.prompts((split,))] * per_prompt


def read_samples(path: Path) -> list[Sample]:
    """Return the responses in a file; raises InputError."""
    return RecordFile(path, Sample).read()


class SampleFile:
    """The responses to asks, in a file. Batch k has the seed that follows from the run's seed and `name`, plus k."""

    def __init__(self, path: Path, name: str, asks: Sequence[Ask], batch_size: int, seed: int, first: int = 0) -> None:
        self._file = RecordFile(path, Sample)
        self._name = name
        self._asks = asks
        self._batch_size = batch_size
        self._seed = seed
        # Where this part begins in a file that holds several.
        self._first = first

    def fill(
        self, generator: Callable[[], Generates], sampling: Sampling, progress: Callable[[int], None]
    ) -> list[Sample]:
        """Sample the batches that are missing, all at once, write each as a whole, and return all samples.

        `generator` is called only if something is missing. Raises InputError if the file holds something else.
        """
        samples = self._complete()
        progress(len(samples))
        starts = range(len(samples), len(self._asks), self._batch_size)
        if not starts:
            return samples
        batches = [self._asks[start : start + self._batch_size] for start in starts]
        numbers = [start // self._batch_size for start in starts]
        answered = generator().sample_batches(
            [[ask.conversation for ask in asks] for asks in batches], sampling, list(map(self._batch_seed, numbers))
        )
        for number, asks, completions in zip(numbers, batches, answered, strict=True):
            batch = list(self._batch(number, asks, completions))
            self._file.append(batch)
            samples += batch
            progress(len(samples))
        return samples

    def _complete(self) -> list[Sample]:
        """Return the samples of complete batches, and drop those of a batch that was cut off."""
        samples = self._file.read()[self._first :][: len(self._asks)]
        if len(samples) < len(self._asks):
            samples = samples[: len(samples) // self._batch_size * self._batch_size]
            self._file.keep(self._first + len(samples))
        for position, (sample, ask) in enumerate(zip(samples, self._asks, strict=False), start=self._first + 1):
            if (sample.task_id, sample.wording) != (ask.task.id, ask.wording):
                raise InputError(
                    self._file.path,
                    f"expected a response to {ask.task.id}, {ask.wording!r}, "
                    f"got one to {sample.task_id}, {sample.wording!r}",
                    line=position,
                )
        return samples

    def _batch(self, number: int, asks: Sequence[Ask], completions: Sequence[Completion]) -> Iterator[Sample]:
        for ask, completion in zip(asks, completions, strict=True):
            yield Sample(
                part=self._name,
                batch=number,
                task_id=ask.task.id,
                wording=ask.wording,
                text=completion.text,
                num_prompt_tokens=completion.num_prompt_tokens,
                num_tokens=completion.num_tokens,
            )

    def _batch_seed(self, number: int) -> int:
        return derived_seed(self._seed, self._name) + number
