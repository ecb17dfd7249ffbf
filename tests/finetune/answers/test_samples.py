"""Sample files, filled by a function that shows what it was asked: only the file is under test here."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from verilora.finetune.answers.samples import Ask, Sample, SampleFile, asks_of
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.synth.models.generates import Completion, Sampling
from verilora.synth.models.prompt import Conversation, Prompter, PromptStyle


class Stopped(Exception):
    """Stands for a kill."""


class Echo:
    """Answers with the seed and the question; stops after a number of batches."""

    def __init__(self, num_batches: int = 100) -> None:
        self.num_batches = num_batches
        self.seeds: list[int] = []

    def sample_batches(
        self, batches: Sequence[Sequence[Conversation]], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[list[Completion]]:
        for conversations, seed in zip(batches, seeds, strict=True):
            if len(self.seeds) == self.num_batches:
                raise Stopped
            self.seeds.append(seed)
            yield [Completion(f"{seed}: {messages[-1]['content']}", 3, 7) for messages in conversations]


@pytest.fixture
def asks(greenhouse: Domain) -> list[Ask]:
    return asks_of(greenhouse, "train", 3, Prompter(greenhouse, PromptStyle.PLAIN))


def fill(path: Path, asks: Sequence[Ask], echo: Echo, seed: int = 0) -> list[Sample]:
    return SampleFile(path, "some", asks, 5, seed).fill(lambda: echo, Sampling(), lambda num_done: None)


def test_every_wording_of_a_split_is_asked(asks: list[Ask], greenhouse: Domain) -> None:
    assert len(asks) == 12
    assert [ask.wording for ask in asks[:4]] == [
        wording for task in greenhouse.tasks.values() for wording in task.wordings.get("train", ())
    ]
    assert asks[:4] == asks[4:8]


def test_batches_have_their_own_seeds(tmp_path: Path, asks: list[Ask]) -> None:
    echo = Echo()
    samples = fill(tmp_path / "samples.jsonl", asks, echo)
    assert len(samples) == 12
    assert len(set(echo.seeds)) == 3
    other = Echo()
    fill(tmp_path / "others.jsonl", asks, other, seed=1)
    assert not set(echo.seeds) & set(other.seeds)


@pytest.mark.parametrize("num_batches", [0, 1, 2])
@pytest.mark.parametrize("cut", [0, 1, 150])
def test_what_was_stopped_goes_on_to_the_same_end(tmp_path: Path, asks: list[Ask], num_batches: int, cut: int) -> None:
    whole = fill(tmp_path / "whole.jsonl", asks, Echo())
    path = tmp_path / "samples.jsonl"
    with pytest.raises(Stopped):
        fill(path, asks, Echo(num_batches))
    if path.exists():
        path.write_bytes(path.read_bytes()[: -cut or None])
    assert fill(path, asks, Echo()) == whole
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_is_complete_needs_no_model(tmp_path: Path, asks: list[Ask]) -> None:
    samples = fill(tmp_path / "samples.jsonl", asks, Echo())
    assert fill(tmp_path / "samples.jsonl", asks, Echo(0)) == samples


def test_a_second_part_stands_behind_the_first(tmp_path: Path, asks: list[Ask]) -> None:
    path = tmp_path / "samples.jsonl"
    first = fill(path, asks, Echo())
    second = SampleFile(path, "round 2", asks, 5, 0, first=len(asks))
    stopping, going_on = Echo(1), Echo()
    with pytest.raises(Stopped):
        second.fill(lambda: stopping, Sampling(), lambda num_done: None)
    later = second.fill(lambda: going_on, Sampling(), lambda num_done: None)
    assert len(going_on.seeds) == 2
    assert len(later) == 12
    assert later != first
    assert fill(path, asks, Echo(0)) == first


def test_a_file_of_other_questions_is_refused(tmp_path: Path, asks: list[Ask]) -> None:
    path = tmp_path / "samples.jsonl"
    fill(path, asks, Echo())
    with pytest.raises(InputError, match=r"samples\.jsonl:1: expected a response to warm-glasshouse"):
        fill(path, asks[::-1], Echo())
