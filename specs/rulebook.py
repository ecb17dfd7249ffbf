"""Rulebooks: the rules of a fleet or a jurisdiction, one file each, which may extend another (`rulebooks/*.yaml`)."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, StrictFloat, model_validator

from .files.errors import InputError, expected_one_of
from .files.yaml_file import Row, YamlFile, read_yaml
from .logic import Formula
from .vocabulary import Name, Vocabulary
from .waiver import Waiver
from .world_description import UNIVERSAL


class Rule(Row):
    """One rule. It is judged only where every proposition that it presumes exists, and in its `worlds` if it names any.

    `readings` holds other formulas for the same sentence, which a rulebook may select by name.
    """

    id: Name
    formula: Formula
    english: str
    source: str = ""
    presumes: tuple[Name, ...] = ()
    worlds: tuple[Name, ...] = ()
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False, strict=True)
    readings: dict[str, Formula] = Field(default_factory=dict)

    def binds_in(self, world: str, has: Callable[[str], bool]) -> bool:
        """Return whether the rule is judged in a world, of which `has` tells the propositions that exist there.

        All that it presumes exists, and it names no worlds or this one; the universal world stands for all.
        """
        return (not self.worlds or world in (*self.worlds, UNIVERSAL)) and all(map(has, self.presumes))

    @property
    def decisive(self) -> list[object]:
        """What decides verdicts, for a digest. A rule that names no world keeps the digest that it had without them."""
        parts: list[object] = [self.id, self.formula.text, sorted(self.presumes), self.weight]
        return [*parts, sorted(self.worlds)] if self.worlds else parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """The rules of a book, those that it inherits first, and at most one waiver of each.

    `written_in` names for each rule the book whose file holds it; rules that no file holds are not in it.
    """

    name: str
    description: str
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...] = ()
    written_in: Mapping[str, str] = field(default_factory=dict)

    def extended(self, name: str, *rules: Rule) -> "Rulebook":
        """Return a book with this name that holds more rules; raises InputError for an id that occurs twice."""
        ids = {rule.id for rule in self.rules}
        for rule in rules:
            if rule.id in ids:
                raise InputError(f"rulebook {name}", f"duplicate id {rule.id!r}", field="rules")
            ids.add(rule.id)
        return replace(self, name=name, rules=(*self.rules, *rules))

    def waiver(self, rule_id: str) -> Waiver | None:
        """Return the waiver of a rule, None if nobody waived it."""
        return next((waiver for waiver in self.waivers if waiver.rule == rule_id), None)

    @property
    def digest(self) -> str:
        """SHA-256 over what decides verdicts (`Rule.decisive`) and over all waivers."""
        rules = [rule.decisive for rule in self.rules]
        # Five texts, which no rule's row is, so that no rule can be taken for one. Books without keep their digests.
        waived: list[list[object]] = [
            ["waiver", waiver.rule, waiver.by, waiver.reason, waiver.date.isoformat()]
            for waiver in sorted(self.waivers, key=lambda waiver: waiver.rule)
        ]
        return _digest([*rules, *waived])

    @property
    def sentences_digest(self) -> str:
        """SHA-256 over the rules in English, which a model is told when it is to repair an answer."""
        return _digest([[rule.id, rule.english] for rule in self.rules])


class _File(Row):
    description: str = ""
    extends: str | None = None
    drop: tuple[str, ...] = ()
    weights: dict[str, StrictFloat] = Field(default_factory=dict)
    readings: dict[str, str] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    @model_validator(mode="after")
    def _changes_need_a_book_to_change(self) -> "_File":
        if not self.extends and (self.drop or self.weights or self.readings):
            raise ValueError("'drop', 'weights' and 'readings' change another book: expected 'extends' beside them")
        return self


def read_rulebook(
    folder: Path, name: str, vocabulary: Vocabulary, worlds: Collection[str], extended_by: tuple[str, ...] = ()
) -> Rulebook:
    """Return the book `folder/name.yaml` with all that it extends; raises InputError."""
    path = folder / f"{name}.yaml"
    if name not in rulebook_names(folder):
        raise InputError(path, f"no such rulebook: {expected_one_of(name, rulebook_names(folder))}")
    file = read_yaml(path)
    book = file.parse(_File)
    rules: dict[str, Rule] = {}
    waivers: dict[str, Waiver] = {}
    written_in: dict[str, str] = {}
    if book.extends:
        chain = (*extended_by, name)
        if book.extends in chain:
            circle = " → ".join((*chain, book.extends))
            raise file.error(("extends",), f"a rulebook cannot extend itself: {circle}")
        if book.extends not in rulebook_names(folder):
            raise file.error(("extends",), f"no such rulebook: {expected_one_of(book.extends, rulebook_names(folder))}")
        parent = read_rulebook(folder, book.extends, vocabulary, worlds, chain)
        rules = _changed({rule.id: rule for rule in parent.rules}, book, file)
        waivers = {waiver.rule: waiver for waiver in parent.waivers if waiver.rule in rules}
        written_in = {rule_id: parent.written_in[rule_id] for rule_id in rules}
    for row, rule in enumerate(book.rules):
        if rule.id in rules:
            raise file.error(("rules", row, "id"), f"duplicate id {rule.id!r}")
        _check(rule, row, file, vocabulary, worlds)
        rules[rule.id] = rule
        written_in[rule.id] = name
    if not rules:
        raise file.error((), "the book holds no rule: expected at least one")
    waivers |= _waived(book, rules, file)
    return Rulebook(
        name=name,
        description=book.description,
        rules=tuple(rules.values()),
        waivers=tuple(waivers.values()),
        written_in=written_in,
    )


def check_words(rulebook: Rulebook, vocabulary: Vocabulary, worlds: Collection[str]) -> None:
    """Raise InputError if a book that no file holds has no rule, one id twice, or a name that the domain lacks."""
    ids = [rule.id for rule in rulebook.rules]
    twice = [name for name in ids if ids.count(name) > 1]
    if not ids or twice:
        got = f"got {twice[0]!r} twice, expected each id once" if twice else "got none, expected at least one rule"
        raise InputError(f"rulebook {rulebook.name}", got, field="rules")
    waived = [waiver.rule for waiver in rulebook.waivers]
    for name in waived:
        if name not in ids:
            raise InputError(f"rulebook {rulebook.name}", _no_rule_to_waive(name, ids), field="waivers")
        if waived.count(name) > 1:
            raise InputError(f"rulebook {rulebook.name}", f"got {name!r} waived twice, expected once", field="waivers")
    words = {*vocabulary.proposition_ids, *vocabulary.action_ids}
    for rule in rulebook.rules:
        for key, what, names, known in (
            ("formula", "proposition", rule.formula.propositions, words),
            ("presumes", "proposition", frozenset(rule.presumes), {*vocabulary.proposition_ids}),
            ("worlds", "world", frozenset(rule.worlds), {*worlds}),
        ):
            for name in sorted(names - known):
                message = f"unknown {what}: {expected_one_of(name, known)}"
                raise InputError(f"rulebook {rulebook.name}", message, field=f"{rule.id}.{key}")


def rulebook_names(folder: Path) -> list[str]:
    """Return the names of a folder's books."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _changed(rules: dict[str, Rule], book: _File, file: YamlFile) -> dict[str, Rule]:
    """Return the inherited rules after a book's weights, readings and drops, checked in that order."""
    for rule_id, weight in book.weights.items():
        _known(rule_id, rules, file, "weights")
        if not 0 <= weight < float("inf"):
            raise file.error(("weights", rule_id), f"expected a weight of 0 or more, got {weight}")
        rules[rule_id] = rules[rule_id].model_copy(update={"weight": weight})
    for rule_id, reading in book.readings.items():
        _known(rule_id, rules, file, "readings")
        rule = rules[rule_id]
        if reading not in rule.readings:
            raise file.error(("readings", rule_id), f"no such reading: {expected_one_of(reading, rule.readings)}")
        rules[rule_id] = rule.model_copy(update={"formula": rule.readings[reading]})
    for rule_id in book.drop:
        _known(rule_id, rules, file, "drop")
        del rules[rule_id]
    return rules


def _waived(book: _File, rules: Iterable[str], file: YamlFile) -> dict[str, Waiver]:
    """Return a book's own waivers by rule: each of a rule that it holds or inherits, and one of each."""
    waivers: dict[str, Waiver] = {}
    for row, waiver in enumerate(book.waivers):
        at = ("waivers", row, "rule")
        if waiver.rule not in rules:
            raise file.error(at, _no_rule_to_waive(waiver.rule, rules))
        if waiver.rule in waivers:
            raise file.error(at, f"got {waiver.rule!r} waived twice, expected once")
        waivers[waiver.rule] = waiver
    return waivers


def _no_rule_to_waive(rule_id: str, rules: Iterable[str]) -> str:
    return f"no such rule to waive: {expected_one_of(rule_id, rules)}"


def _digest(rows: list[list[object]]) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def _known(rule_id: str, rules: Iterable[str], file: YamlFile, field: str) -> None:
    if rule_id not in rules:
        raise file.error((field,), f"no such rule to change: {expected_one_of(rule_id, rules)}")


def _check(rule: Rule, row: int, file: YamlFile, vocabulary: Vocabulary, worlds: Collection[str]) -> None:
    vocabulary.check(rule.formula, file, ("rules", row, "formula"), actions=True)
    for name, formula in rule.readings.items():
        vocabulary.check(formula, file, ("rules", row, "readings", name), actions=True)
    for index, name in enumerate(rule.presumes):
        if name not in vocabulary.proposition_ids:
            message = f"unknown proposition: {expected_one_of(name, vocabulary.proposition_ids)}"
            raise file.error(("rules", row, "presumes", index), message)
    for index, name in enumerate(rule.worlds):
        if name not in worlds:
            raise file.error(("rules", row, "worlds", index), f"unknown world: {expected_one_of(name, worlds)}")
