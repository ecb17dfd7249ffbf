"""The corpus generator: what it draws, and what it never draws."""

from collections import Counter
from random import Random

import pytest

from verilora.specs.corpus_description import Corpus, read_corpus
from verilora.specs.domain import Domain
from verilora.synth.corpus.corpus import CorpusGenerator, Criticism
from verilora.synth.corpus.wording import WordingGrammar, essence


@pytest.fixture(scope="module")
def corpus(driving: Domain) -> Corpus:
    return read_corpus(driving.folder / "corpus.yaml", driving)


@pytest.fixture(scope="module")
def generator(corpus: Corpus, driving: Domain) -> CorpusGenerator:
    return CorpusGenerator(corpus, driving)


def criticise_stopping(task_id: str, steps: str) -> Criticism | None:
    """A critic to whom nothing is wrong but stopping."""
    return Criticism("stops", f"Do not stop ({task_id}).") if "stop" in steps else None


def test_a_chunk_is_a_function_of_seed_and_number(generator: CorpusGenerator) -> None:
    assert generator.chunk(3, 5, 50) == generator.chunk(3, 5, 50)
    assert generator.chunk(3, 5, 50) != generator.chunk(3, 6, 50)
    assert generator.chunk(3, 5, 50) != generator.chunk(4, 5, 50)


def test_wordings_and_answers_are_many(generator: CorpusGenerator) -> None:
    draws = generator.chunk(0, 0, 3000)
    assert len({draw.wording for draw in draws}) > 2400
    assert len({draw.answer for draw in draws}) > 2000


def test_all_combinations_have_the_same_mix_of_quality(corpus: Corpus, generator: CorpusGenerator) -> None:
    draws = generator.chunk(1, 0, 15_000)
    per_task = Counter(draw.task_id for draw in draws)
    assert set(per_task) == {task_id for task_id, _ in corpus.asked}
    for task_id, count in per_task.items():
        assert count == pytest.approx(1000, abs=120)
        for name, quality in corpus.qualities.items():
            share = sum(draw.quality == name for draw in draws if draw.task_id == task_id) / count
            # Five standard deviations of a share.
            assert share == pytest.approx(quality.share, abs=5 * (quality.share * (1 - quality.share) / count) ** 0.5)


def test_wordings_of_validation_and_test_never_come_out(driving: Domain, generator: CorpusGenerator) -> None:
    withheld = {
        essence(wording)
        for task in driving.tasks.values()
        for split in ("validation", "test")
        for wording in task.wordings.get(split, ())
    }
    drawn = {essence(draw.wording) for draw in generator.chunk(2, 0, 20_000)}
    assert not drawn & withheld


def test_without_withholding_some_of_them_would(corpus: Corpus, driving: Domain) -> None:
    free, withholding = WordingGrammar(corpus), WordingGrammar(corpus, ["turn right AT the roundabout?"])
    combination = next(entry for task_id, entry in corpus.asked if task_id == "right-at-roundabout")
    for grammar, comes in ((free, True), (withholding, False)):
        rng = Random(0)
        drawn = {essence(grammar.draw(rng, combination)) for _ in range(3000)}
        assert ("turn right at the roundabout" in drawn) is comes


def test_what_is_told_is_asked_for_first(generator: CorpusGenerator) -> None:
    draws = [draw for draw in generator.chunk(0, 1, 4000) if draw.circumstance == "oncoming"]
    seen = [line for draw in draws for line in draw.answer.splitlines() if "observe" in line and "opposite car" in line]
    assert len(seen) > 20
    assert all(line.split("observe ")[1].startswith("opposite car") for line in seen)


def test_no_placeholder_is_left(generator: CorpusGenerator) -> None:
    assert not [draw for draw in generator.chunk(0, 2, 3000) if "{" in draw.wording + draw.answer]


def test_steps_are_numbered_from_1_and_jump_to_steps_that_exist(generator: CorpusGenerator) -> None:
    for draw in generator.chunk(0, 3, 2000):
        lines = draw.answer.splitlines()
        assert [line.split(". ")[0] for line in lines] == [str(number) for number in range(1, len(lines) + 1)]
        jumps = [int(rest.split(",")[0]) for line in lines for rest in line.split("go to step ")[1:]]
        assert all(1 <= target <= len(lines) for target in jumps)


def test_repair_turns_tell_the_fault_and_mend_it_more_often_than_not(corpus: Corpus, driving: Domain) -> None:
    draws = CorpusGenerator(corpus, driving, criticise_stopping).chunk(0, 0, 8000)
    repairs = [draw for draw in draws if len(draw.turns) == 2]
    assert len(repairs) / len(draws) == pytest.approx(corpus.repair.share, abs=0.015)
    for draw in repairs:
        (_, first), (feedback, _) = draw.turns
        assert "stop" in first
        assert feedback == f"Do not stop ({draw.task_id})."
    still = sum("stop" in draw.answer for draw in repairs) / len(repairs)
    first_time = sum("stop" in draw.answer for draw in draws if len(draw.turns) == 1) / (len(draws) - len(repairs))
    assert 0 < still < first_time


def test_without_a_critic_there_are_no_repair_turns(generator: CorpusGenerator) -> None:
    assert all(len(draw.turns) == 1 for draw in generator.chunk(0, 4, 2000))
