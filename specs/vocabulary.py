"""The words of a domain: what a controller can observe and what it can do (`propositions.yaml`)."""

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from .files.errors import expected_one_of
from .files.yaml_file import Location, Row, YamlFile, read_yaml
from .logic import NAME, Formula, cube
from .phrase import RESERVED, tokenize

_PHRASE = re.compile(r"[a-z0-9]+(?:[ '-][a-z0-9]+)*")


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"expected a name of lower-case letters, digits and '_', got {text!r}")
    return text


def _phrase(text: str) -> str:
    if not _PHRASE.fullmatch(text):
        raise ValueError(f"expected lower-case words, got {text!r}")
    return text


Name = Annotated[str, AfterValidator(_name)]
Phrase = Annotated[str, AfterValidator(_phrase)]


class Word(Row):
    """A proposition or an action: its name in formulas, its English, and other phrases that mean the same."""

    id: Name
    english: Phrase
    synonyms: tuple[Phrase, ...] = ()


class Vocabulary(Row):
    """Propositions, actions and the idle action, which a controller gives while it observes or waits."""

    propositions: tuple[Word, ...] = Field(min_length=1)
    actions: tuple[Word, ...] = Field(min_length=2)
    idle: Name

    @cached_property
    def proposition_ids(self) -> tuple[str, ...]:
        return tuple(word.id for word in self.propositions)

    @cached_property
    def action_ids(self) -> tuple[str, ...]:
        return tuple(word.id for word in self.actions)

    @cached_property
    def english(self) -> dict[str, str]:
        """Name → the phrase it is printed as."""
        return {word.id: word.english for word in (*self.propositions, *self.actions)}

    @cached_property
    def progress(self) -> Formula:
        """The gate of a controller that never stays idle for good."""
        return Formula(f"GF !{self.idle}")

    def check(self, formula: Formula, file: YamlFile, location: Location, *, actions: bool) -> None:
        """Raise InputError if the formula uses a name that the domain lacks, or an action where none may stand."""
        known = {*self.proposition_ids, *(self.action_ids if actions else ())}
        for name in sorted(formula.propositions - known):
            raise file.error(location, f"unknown proposition in {formula.text!r}: {expected_one_of(name, known)}")


def read_vocabulary(path: Path) -> Vocabulary:
    """Return the vocabulary of a file; raises InputError."""
    file = read_yaml(path)
    vocabulary = file.parse(Vocabulary)
    # In the order of the file, so that results do not depend on which proposition is met first.
    cube((*vocabulary.proposition_ids, *vocabulary.action_ids))
    ids: set[str] = set()
    owner: dict[tuple[str, ...], str] = {}
    for kind in ("propositions", "actions"):
        for row, word in enumerate(getattr(vocabulary, kind)):
            if word.id in ids:
                raise file.error((kind, row, "id"), f"duplicate id {word.id!r}")
            ids.add(word.id)
            for phrase in dict.fromkeys((word.id, word.english, *word.synonyms)):
                tokens = tuple(tokenize(phrase))
                if not tokens or any(tokens[: len(reserved)] == reserved for reserved in RESERVED):
                    expected = "expected a word, not an article alone or a beginning that steps reserve"
                    raise file.error((kind, row), f"{phrase!r} could never be found in a step: {expected}")
                if owner.setdefault(tokens, word.id) != word.id:
                    raise file.error((kind, row), f"{phrase!r} already means {owner[tokens]!r}, not also {word.id!r}")
    if vocabulary.idle not in vocabulary.action_ids:
        raise file.error(("idle",), expected_one_of(vocabulary.idle, vocabulary.action_ids))
    return vocabulary
