"""The corpus that a base model is pretrained on: draws of a wording and an answer, and of repair turns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from ...specs.corpus_description import Combination, Corpus
from ...specs.domain import Domain
from .answer_grammar import AnswerGrammar
from .wording import WordingGrammar

Turn = tuple[str, str]
"""What the user says and what is answered."""
CHUNK = 1000
_MAX_TRIES = 6


@dataclass(frozen=True, slots=True)
class Criticism:
    """What is wrong with an answer: the name of the fault, and the text that the user tells."""

    fault: str
    feedback: str


Critic = Callable[[str, str], Criticism | None]
"""(id of a task, steps) → what is wrong, None if nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One draw: its turns, of which the last is the one to learn. `task_id` stands for the combination it asks for."""

    turns: tuple[Turn, ...]
    task_id: str
    circumstance: str | None
    quality: str

    @property
    def wording(self) -> str:
        return self.turns[0][0]

    @property
    def answer(self) -> str:
        return self.turns[-1][1]


class CorpusGenerator:
    """Draws from the corpus of a domain. Without a critic there are no repair turns."""

    def __init__(self, corpus: Corpus, domain: Domain, critic: Critic | None = None) -> None:
        self.corpus = corpus
        withheld = [
            wording
            for task in domain.tasks.values()
            for split, wordings in task.wordings.items()
            if split != "train"
            for wording in wordings
        ]
        self._wordings = WordingGrammar(corpus, withheld)
        self._answers = AnswerGrammar(corpus, domain.vocabulary)
        self._critic = critic
        self._shares = {name: quality.share for name, quality in corpus.qualities.items()}

    def chunk(self, seed: int, number: int, size: int = CHUNK) -> list[Draw]:
        """Return a numbered part of the corpus, a function of seed and number alone."""
        rng = Random(f"{seed}/{number}")  # noqa: S311 - a corpus is random, and seeded on purpose
        return [self.draw(rng) for _ in range(size)]

    def draws(self, seed: int) -> Iterator[Draw]:
        """Yield the corpus without end."""
        number = 0
        while True:
            yield from self.chunk(seed, number)
            number += 1

    def draw(self, rng: Random) -> Draw:
        """Return the next draw of a stream of random numbers."""
        task_id, combination = rng.choice(self.corpus.asked)
        circumstance = None
        if combination.circumstances and rng.random() >= self.corpus.plain_share:
            circumstance = rng.choice(combination.circumstances)
        wording = self._wordings.draw(rng, combination, circumstance)
        if self._critic and rng.random() < self.corpus.repair.share:
            repaired = self._repair(rng, task_id, combination, circumstance, self._critic)
            if repaired:
                first, feedback, answer, quality = repaired
                turns = ((wording, first), (feedback, answer))
                return Draw(turns=turns, task_id=task_id, circumstance=circumstance, quality=quality)
        quality, answer = self._answer(rng, combination, circumstance, self._shares)
        return Draw(turns=((wording, answer),), task_id=task_id, circumstance=circumstance, quality=quality)

    def _answer(
        self, rng: Random, combination: Combination, circumstance: str | None, shares: dict[str, float]
    ) -> tuple[str, str]:
        [quality] = rng.choices(list(shares), list(shares.values()))
        mentions = self.corpus.circumstances[circumstance].mentions if circumstance else ()
        return quality, self._answers.draw(rng, combination, mentions, quality)

    def _repair(
        self, rng: Random, task_id: str, combination: Combination, circumstance: str | None, critic: Critic
    ) -> tuple[str, str, str, str] | None:
        """Return (first answer, feedback, second answer, its quality); None where no fault was found."""
        for _ in range(_MAX_TRIES):
            _, first = self._answer(rng, combination, circumstance, self._shares)
            criticism = critic(task_id, first)
            if criticism:
                break
        else:
            return None
        is_mended = rng.random() < self.corpus.repair.mended
        for _ in range(_MAX_TRIES):
            quality, second = self._answer(rng, combination, circumstance, self.corpus.repair.qualities)
            if not is_mended:
                break
            left = critic(task_id, second)
            if left is None or left.fault != criticism.fault:
                break
        return first, criticism.feedback, second, quality
