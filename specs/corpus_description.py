"""The corpus of a domain, as data: how tasks are worded, and how well or badly they are answered (`corpus.yaml`)."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from .domain import Domain
from .files.errors import expected_one_of
from .files.yaml_file import Location, Row, YamlFile, read_yaml
from .phrase import tokenize
from .vocabulary import Name, Phrase

SLOT = re.compile(r"\{(\w+)\}")
PARTS = ("act", "idle", "guard", "unless", "second", "half", "rest", "see", "each", "other", "other_guard")
PLAIN = "plain"
WITH = "with"


class Literal(NamedTuple):
    """A proposition that a condition asks for, or asks not to be there."""

    proposition: str
    negated: bool


def _literal(text: object) -> object:
    if not isinstance(text, str):
        return text
    return Literal(text.removeprefix("no "), text.startswith("no "))


Guard = Annotated[tuple[Annotated[Literal, BeforeValidator(_literal)], ...], Field(min_length=1)]
Lexicon = dict[Name, Annotated[tuple[str, ...], Field(min_length=1)]]
Chance = Annotated[float, Field(ge=0, le=1)]
Weights = dict[Name, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class Circumstance(Row):
    """Something particular that a wording tells; `mentions` are the propositions that it is about."""

    extends: Name | None = None
    mentions: tuple[Name, ...] = ()
    lexicon: Lexicon = Field(default_factory=dict)


class Combination(Row):
    """A manoeuvre in a world: the conditions each of which makes it safe, and what else may be asked for there.

    `task` is one that wants it, under which a first answer is judged for a repair turn. Without one nobody asks for it:
    it is only what another answer does besides.
    """

    world: Name
    action: Name
    task: str | None = None
    guards: Annotated[tuple[Guard, ...], Field(min_length=1)]
    cautions: Guard | tuple[()] = ()
    circumstances: tuple[Name, ...] = ()


class Quality(Row):
    """How often answers of one quality are drawn, and how often they have each fault."""

    share: Chance
    forget: Chance = 0
    invert: Chance = 0
    confuse: Chance = 0
    caution: Chance = 0
    swap: Chance = 0
    vague: Chance = 0


class Part(Row):
    """Steps that make up a part of an answer, and its weight by quality. A mapping is a step that has a label."""

    steps: tuple[str | dict[Name, str], ...]
    weights: Weights

    @cached_property
    def labelled(self) -> tuple[tuple[str, str], ...]:
        """The steps with their labels, an empty one where there is none."""
        return tuple(("", step) if isinstance(step, str) else next(iter(step.items())) for step in self.steps)


class Repair(Row):
    """Repair turns: their share, how many no longer have the fault that was named, and how good second answers are."""

    share: Chance
    mended: Chance
    qualities: Weights


class Corpus(Row):
    """The grammar of wordings and answers of a domain."""

    plain_share: Chance
    lexicon: Lexicon
    worlds: dict[Name, Lexicon] = Field(default_factory=dict)
    actions: dict[Name, Lexicon] = Field(default_factory=dict)
    circumstances: dict[Name, Circumstance] = Field(default_factory=dict)
    combinations: Annotated[tuple[Combination, ...], Field(min_length=1)]
    phrases: dict[Name, Annotated[tuple[Phrase, ...], Field(min_length=1)]] = Field(default_factory=dict)
    qualities: Annotated[dict[Name, Quality], Field(min_length=1)]
    vague: tuple[str, ...] = ()
    beginnings: Annotated[tuple[Part, ...], Field(min_length=1)]
    cores: Annotated[tuple[Part, ...], Field(min_length=1)]
    endings: Annotated[tuple[Part, ...], Field(min_length=1)]
    repair: Repair

    @property
    def digest(self) -> str:
        """SHA-256 over all that the corpus says, however its file is written."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def asked(self) -> tuple[tuple[str, Combination], ...]:
        """The combinations that are asked for, each with its task."""
        return tuple((entry.task, entry) for entry in self.combinations if entry.task is not None)

    def words(self, combination: Combination, circumstance: str | None) -> Mapping[str, tuple[str, ...]]:
        """Return the alternatives of each symbol for a combination and what is told of it."""
        words = {
            **self.lexicon,
            **self.worlds.get(combination.world, {}),
            **self.actions.get(combination.action, {}),
        }
        for name in reversed(list(self._ancestry(circumstance))):
            words |= self.circumstances[name].lexicon
        return words

    def _ancestry(self, circumstance: str | None) -> Iterator[str]:
        while circumstance is not None:
            yield circumstance
            circumstance = self.circumstances[circumstance].extends


def read_corpus(path: Path, domain: Domain) -> Corpus:
    """Return the corpus in a file; raises InputError."""
    file = read_yaml(path)
    corpus = file.parse(Corpus)
    _CorpusCheck(file, corpus, domain).check()
    return corpus


class _CorpusCheck:
    """Whether a corpus speaks of what its domain and the corpus itself define."""

    def __init__(self, file: YamlFile, corpus: Corpus, domain: Domain) -> None:
        self.file = file
        self.corpus = corpus
        self.domain = domain

    def check(self) -> None:
        self._names()
        if not self.corpus.asked:
            raise self.file.error(("combinations",), "none has a task: expected one that somebody asks for")
        for row, combination in enumerate(self.corpus.combinations):
            self._combination(combination, ("combinations", row))
        for row, combination in enumerate(self.corpus.combinations):
            for circumstance in dict.fromkeys((None, *combination.circumstances)) if combination.task else ():
                self._words(combination, circumstance, ("combinations", row))
        self._phrases()
        self._parts()

    def _known(self, name: str, known: Mapping[str, object] | tuple[str, ...], at: Location) -> None:
        if name not in known:
            raise self.file.error(at, expected_one_of(name, known))

    def _names(self) -> None:
        movements = tuple(name for name in self.domain.vocabulary.action_ids if name != self.domain.vocabulary.idle)
        for world in self.corpus.worlds:
            self._known(world, self.domain.worlds, ("worlds", world))
        for action in self.corpus.actions:
            self._known(action, movements, ("actions", action))
        for name, circumstance in self.corpus.circumstances.items():
            at = ("circumstances", name)
            for index, proposition in enumerate(circumstance.mentions):
                self._known(proposition, self.domain.vocabulary.proposition_ids, (*at, "mentions", index))
            earlier = tuple(self.corpus.circumstances)[: list(self.corpus.circumstances).index(name)]
            if circumstance.extends is not None:
                self._known(circumstance.extends, earlier, (*at, "extends"))

    def _combination(self, combination: Combination, at: Location) -> None:
        self._known(combination.world, self.domain.worlds, (*at, "world"))
        self._known(combination.action, self.domain.vocabulary.action_ids, (*at, "action"))
        tasks = {name: task for name, task in self.domain.tasks.items() if task.world == combination.world}
        if combination.task is not None:
            self._known(combination.task, tasks, (*at, "task"))
        world = self.domain.worlds[combination.world]
        existing = (*world.free, *world.constant)
        for index, guard in enumerate(combination.guards):
            for place, literal in enumerate(guard):
                self._known(literal.proposition, existing, (*at, "guards", index, place))
        for index, literal in enumerate(combination.cautions):
            self._known(literal.proposition, existing, (*at, "cautions", index))
        for index, name in enumerate(combination.circumstances):
            self._known(name, self.corpus.circumstances, (*at, "circumstances", index))

    def _words(self, combination: Combination, circumstance: str | None, at: Location) -> None:
        """Raise InputError if a wording could need a symbol that is not there, or expand without end."""
        words = self.corpus.words(combination, circumstance)
        where = f"in wordings of {combination.action!r} in {combination.world!r} ({circumstance or 'no circumstance'})"

        def expand(symbol: str, path: tuple[str, ...]) -> None:
            if symbol in path:
                raise self.file.error(at, f"{where}, {' → '.join((*path, symbol))} has no end")
            if symbol not in words:
                raise self.file.error(at, f"{where}, no alternatives for a symbol: {expected_one_of(symbol, words)}")
            if symbol in done:
                return
            for alternative in words[symbol]:
                for inner in SLOT.findall(alternative):
                    expand(inner, (*path, symbol))
            done.add(symbol)

        done: set[str] = set()
        expand(WITH if circumstance else PLAIN, ())

    def _phrases(self) -> None:
        entries = (*self.domain.vocabulary.propositions, *self.domain.vocabulary.actions)
        for name, phrases in self.corpus.phrases.items():
            self._known(name, self.domain.vocabulary.english, ("phrases", name))
            [word] = [word for word in entries if word.id == name]
            meanings = {" ".join(tokenize(text)) for text in (word.english, *word.synonyms)}
            for index, phrase in enumerate(phrases):
                if " ".join(tokenize(phrase)) not in meanings:
                    message = f"the vocabulary does not read {phrase!r} as {name!r}"
                    raise self.file.error(("phrases", name, index), message)

    def _parts(self) -> None:
        for field in ("beginnings", "cores", "endings"):
            for row, part in enumerate(getattr(self.corpus, field)):
                self._part(part, (field, row))
        for name in self.corpus.repair.qualities:
            self._known(name, self.corpus.qualities, ("repair", "qualities", name))
        for index, line in enumerate(self.corpus.vague):
            self._slots(line, ("act",), ("vague", index))
        if not self.corpus.vague and any(quality.vague for quality in self.corpus.qualities.values()):
            raise self.file.error(("vague",), "no vague lines, but a quality asks for some")

    def _part(self, part: Part, at: Location) -> None:
        for name in part.weights:
            self._known(name, self.corpus.qualities, (*at, "weights", name))
        labels = [label for label, _ in part.labelled if label]
        for index, step in enumerate(part.steps):
            if isinstance(step, dict) and len(step) != 1:
                raise self.file.error((*at, "steps", index), f"expected one label and its step, got {len(step)}")
            self._slots(part.labelled[index][1], (*PARTS, *labels), (*at, "steps", index))

    def _slots(self, text: str, known: tuple[str, ...], at: Location) -> None:
        for slot in SLOT.findall(text):
            self._known(slot, known, at)
