"""Answers to tasks, drawn from the grammar of a corpus: steps of a quality that is not told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ...specs.corpus_description import SLOT, Combination, Corpus, Guard, Literal, Part, Quality
from ...specs.vocabulary import Vocabulary
from ..controllers.steps import MAX_STEPS, MIN_STEPS


class AnswerGrammar:
    """Draws answers. A fault is drawn once for an answer, so that all combinations have the same mix of quality."""

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary) -> None:
        self.corpus = corpus
        self.vocabulary = vocabulary
        self._movements = [name for name in vocabulary.action_ids if name != vocabulary.idle]
        self._parts = {
            quality: tuple(_weighted(parts, quality) for parts in (corpus.beginnings, corpus.cores, corpus.endings))
            for quality in corpus.qualities
        }
        self._neighbours = {
            combination: [
                other
                for other in corpus.combinations
                if other.world == combination.world and other.action != combination.action
            ]
            for combination in corpus.combinations
        }

    def draw(self, rng: Random, combination: Combination, mentions: Sequence[str], quality: str) -> str:
        """Return numbered steps; what a wording mentions comes first in their conditions."""
        faults = self.corpus.qualities[quality]
        slots = self._slots(rng, combination, mentions, faults)
        while True:
            lines = self._lines(rng, quality, slots)
            if MIN_STEPS <= len(lines) <= MAX_STEPS:
                break
        if rng.random() < faults.swap:
            at = rng.randrange(len(lines) - 1)
            lines[at : at + 2] = reversed(lines[at : at + 2])
        if rng.random() < faults.vague:
            lines[rng.randrange(len(lines))] = _fill(rng.choice(self.corpus.vague), slots.texts)
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))

    def _lines(self, rng: Random, quality: str, slots: "_Slots") -> list[str]:
        """Return the steps of a beginning, a core and an ending, their labels resolved."""
        steps: list[str] = []
        labels: dict[str, str] = {}
        for parts, weights in self._parts[quality]:
            [part] = rng.choices(parts, weights)
            for label, step in part.labelled:
                if label:
                    labels[label] = str(len(steps) + 1)
                if "{each}" in step:
                    steps.extend(step.replace("{each}", seen) for seen in slots.each)
                else:
                    steps.append(step)
        return [_fill(step, {**slots.texts, **labels}) for step in steps]

    def _slots(self, rng: Random, combination: Combination, mentions: Sequence[str], faults: Quality) -> "_Slots":
        words = _Words(rng, self.corpus, self.vocabulary)
        wanted = _ordered(rng, self._wanted(rng, combination, faults), mentions)
        asked = self._degraded(rng, wanted, combination, faults)
        second = self._degraded(rng, list(rng.choice(combination.guards)), combination, faults)
        seen = wanted if rng.random() < 0.7 else asked
        other = rng.choice(self._neighbours[combination]) if self._neighbours[combination] else combination
        action = combination.action
        if rng.random() < faults.confuse:
            action = rng.choice([name for name in self._movements if name != action] or [action])
        middle = (len(asked) + 1) // 2
        half, rest = (asked[:middle], asked[middle:]) if len(asked) > 1 else (self._beside(rng, combination), asked)
        opposite = [Literal(literal.proposition, not literal.negated) for literal in asked]
        texts = {
            "act": words.of(action),
            "idle": words.of(self.vocabulary.idle),
            "guard": words.condition(asked),
            "unless": words.condition(opposite, " or "),
            "second": words.condition(second),
            "half": words.condition(half),
            "rest": words.condition(rest),
            "see": " and ".join(words.of(literal.proposition) for literal in seen),
            "other": words.of(other.action),
            "other_guard": words.condition(self._degraded(rng, list(rng.choice(other.guards)), other, faults)),
        }
        return _Slots(texts, tuple(words.of(literal.proposition) for literal in seen))

    def _wanted(self, rng: Random, combination: Combination, faults: Quality) -> list[Literal]:
        wanted = list(rng.choice(combination.guards))
        if combination.cautions and rng.random() < faults.caution:
            wanted.append(rng.choice(combination.cautions))
        return wanted

    def _degraded(self, rng: Random, wanted: list[Literal], combination: Combination, faults: Quality) -> list[Literal]:
        """Return a condition with what this quality forgets or turns round; one that forgets all asks for another."""
        asked = list(wanted)
        while asked and rng.random() < faults.forget:
            asked.pop(rng.randrange(len(asked)))
        asked = asked or self._beside(rng, combination)
        if rng.random() < faults.invert:
            at = rng.randrange(len(asked))
            asked[at] = Literal(asked[at].proposition, not asked[at].negated)
        return asked

    def _beside(self, rng: Random, combination: Combination) -> list[Literal]:
        """Return a condition that does not make the manoeuvre safe: a caution, or what another manoeuvre needs."""
        others: list[Guard] = [guard for other in self._neighbours[combination] for guard in other.guards]
        needed = {literal for guard in combination.guards for literal in guard}
        choice = [literal for guard in others for literal in guard if literal not in needed]
        choice = [*combination.cautions, *choice] or sorted(needed)
        return [rng.choice(choice)]


@dataclass(frozen=True, slots=True)
class _Slots:
    texts: Mapping[str, str]
    each: tuple[str, ...]


class _Words:
    """How one answer calls things: the same thing always in the same words."""

    def __init__(self, rng: Random, corpus: Corpus, vocabulary: Vocabulary) -> None:
        self._rng = rng
        self._corpus = corpus
        self._vocabulary = vocabulary
        self._chosen: dict[str, str] = {}

    def of(self, name: str) -> str:
        if name not in self._chosen:
            phrases = self._corpus.phrases.get(name)
            self._chosen[name] = self._rng.choice(phrases) if phrases else self._vocabulary.english[name]
        return self._chosen[name]

    def condition(self, literals: Sequence[Literal], connective: str = " and ") -> str:
        return connective.join(
            f"no {self.of(literal.proposition)}" if literal.negated else self.of(literal.proposition)
            for literal in literals
        )


def _ordered(rng: Random, literals: list[Literal], mentions: Sequence[str]) -> list[Literal]:
    """Return literals in the order in which somebody tells them: what was mentioned first, else mostly as they are."""
    if rng.random() < 0.25:
        rng.shuffle(literals)
    return sorted(literals, key=lambda literal: literal.proposition not in mentions)


def _weighted(parts: Sequence[Part], quality: str) -> tuple[list[Part], list[float]]:
    return list(parts), [part.weights.get(quality, 0.0) for part in parts]


def _fill(text: str, texts: Mapping[str, str]) -> str:
    return SLOT.sub(lambda slot: texts[slot[1]], text)
