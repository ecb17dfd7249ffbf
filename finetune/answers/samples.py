"""Sampling responses in fixed, numbered batches, each a function of the seed and its number and redone as a whole."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.record_file import Record, RecordFile
from ...specs.task import Split, Task
from ...synth.models.generator import Completion, Sampling
from ...synth.models.prompt import Conversation, Prompter


class Generates(Protocol):
    """What sampling needs of a language model; `synth/models/generator.py` has it on transformers."""

    def sample(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One response that is wanted: to a task, asked in a wording, in a conversation that ends with the user."""

    task: Task
    wording: str
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Sample:
    """A response. `num_tokens` are the sampled ones, its end included."""

    task_id: str
    wording: str
    text: str
    num_prompt_tokens: int
    num_tokens: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the sample of a record that has its fields."""
        return cls(**{name: record[name] for name in cls.__slots__})


def asks_of(domain: Domain, split: Split, per_prompt: int, prompter: Prompter) -> list[Ask]:
    """Return what is asked of a split: every wording of every task so many times, one round of wordings after another.

    The split `validation` holds other wordings of the train tasks, `test` tasks of its own.
    """
    once = [
        Ask(task, wording, prompter.ask(wording))
        for task in domain.tasks.values()
        for wording in task.wordings.get(split, ())
    ]
    return once * per_prompt


def read_samples(path: Path) -> list[Sample]:
    """Return the responses in a file; raises InputError."""
    return [Sample.of(record) for record in RecordFile(path, Sample.__slots__).read()]


class SampleFile:
    """The responses to asks, in a file. Batch k has the seed that follows from the run's seed and `name`, plus k."""

    def __init__(self, path: Path, name: str, asks: Sequence[Ask], batch_size: int, seed: int, first: int = 0) -> None:
        self._file = RecordFile(path, Sample.__slots__)
        self._name = name
        self._asks = asks
        self._batch_size = batch_size
        self._seed = seed
        # Where this part begins in a file that holds several.
        self._first = first

    def fill(
        self, generator: Callable[[], Generates], sampling: Sampling, progress: Callable[[int], None]
    ) -> list[Sample]:
        """Sample the batches that are missing, a whole batch at a time, and return all samples.

        `generator` is called only if something is missing. Raises InputError if the file holds something else.
        """
        records = self._complete()
        progress(len(records))
        while len(records) < len(self._asks):
            number = len(records) // self._batch_size
            asks = self._asks[len(records) : len(records) + self._batch_size]
            completions = generator().sample([ask.conversation for ask in asks], sampling, self._batch_seed(number))
            batch = list(self._records(number, asks, completions))
            self._file.append(batch)
            records += batch
            progress(len(records))
        return [Sample.of(record) for record in records]

    def _complete(self) -> list[Record]:
        """Return the records of complete batches, and drop those of a batch that was cut off."""
        records = self._file.read()[self._first :][: len(self._asks)]
        if len(records) < len(self._asks):
            records = records[: len(records) // self._batch_size * self._batch_size]
            self._file.keep(self._first + len(records))
        for position, (record, ask) in enumerate(zip(records, self._asks, strict=False), start=self._first + 1):
            if (record["task_id"], record["wording"]) != (ask.task.id, ask.wording):
                raise InputError(
                    self._file.path,
                    f"expected a response to {ask.task.id}, {ask.wording!r}, "
                    f"got one to {record['task_id']}, {record['wording']!r}",
                    line=position,
                )
        return records

    def _records(self, number: int, asks: Sequence[Ask], completions: Sequence[Completion]) -> Iterator[Record]:
        for ask, completion in zip(asks, completions, strict=True):
            yield {
                "part": self._name,
                "batch": number,
                "task_id": ask.task.id,
                "wording": ask.wording,
                "text": completion.text,
                "num_prompt_tokens": completion.num_prompt_tokens,
                "num_tokens": completion.num_tokens,
            }

    def _batch_seed(self, number: int) -> int:
        return derived_seed(self._seed, self._name) + number


def derived_seed(seed: int, *names: object) -> int:
    """Return a seed of 48 bits for one part of a run."""
    digest = hashlib.sha256(":".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:6], "big")
