"""Vocabularies: names, phrases and their meanings."""

import pickle

import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.files.yaml_file import YamlFile
from verilora.specs.logic import Formula
from verilora.specs.vocabulary import Vocabulary

FILE = "propositions.yaml"


def test_names_come_in_the_order_of_the_file(greenhouse: Domain) -> None:
    vocabulary = greenhouse.vocabulary
    assert vocabulary.proposition_ids == ("dry_soil", "tank_empty", "frost", "door_open")
    assert vocabulary.action_ids == ("hold", "open_valve", "heat")
    assert vocabulary.idle == "hold"
    assert vocabulary.propositions[1].synonyms == ("tank is empty", "water has run out")


def test_every_name_has_its_english(greenhouse: Domain) -> None:
    assert greenhouse.vocabulary.english == {
        "dry_soil": "dry soil",
        "tank_empty": "empty tank",
        "frost": "frost",
        "door_open": "open door",
        "hold": "hold",
        "open_valve": "open valve",
        "heat": "heat",
    }


def test_progress_means_to_stop_idling_again_and_again(greenhouse: Domain) -> None:
    assert greenhouse.vocabulary.progress == Formula("G F !hold")


def test_a_vocabulary_survives_pickling(greenhouse: Domain) -> None:
    assert pickle.loads(pickle.dumps(greenhouse.vocabulary)) == greenhouse.vocabulary


@pytest.mark.parametrize(
    ("formula", "actions", "unknown", "expected"),
    [
        ("G frost", False, None, ""),
        ("frost U heat", True, None, ""),
        ("true", False, None, ""),
        ("frost U heat", False, "heat", "door_open, dry_soil, frost, tank_empty"),
        ("b & a", False, "a", "door_open, dry_soil, frost, tank_empty"),
    ],
)
def test_check(
    greenhouse: Domain,
    formula: str,
    actions: bool,
    unknown: str | None,
    expected: str,
) -> None:
    file = YamlFile(greenhouse.folder / "x.yaml", None, {("goal",): 7})

    def check() -> None:
        greenhouse.vocabulary.check(Formula(formula), file, ("goal",), actions=actions)

    if unknown is None:
        check()
        return
    with pytest.raises(InputError) as caught:
        check()
    found = f"goal: unknown proposition in {formula!r}: got {unknown!r}, expected one of {expected}"
    assert str(caught.value) == f"{greenhouse.folder / 'x.yaml'}:7: {found}"


@pytest.mark.parametrize(
    ("old", "new", "field", "name"),
    [
        pytest.param("- id: door_open", "- id: frost  # again", "propositions[3].id", "frost", id="proposition"),
        pytest.param(
            "- id: door_open", "- id: dry_soil  # again", "propositions[3].id", "dry_soil", id="name that is no phrase"
        ),
        pytest.param("- id: heat", "- id: hold  # again", "actions[2].id", "hold", id="action"),
        pytest.param("- id: heat", "- id: frost  # again", "actions[2].id", "frost", id="proposition as action"),
    ],
)
def test_duplicate_id(copy, old: str, new: str, field: str, name: str) -> None:
    copy.replace(FILE, old, new)
    copy.rejects(FILE, "# again", f"{field}: duplicate id {name!r}")


@pytest.mark.parametrize(
    ("old", "new", "at", "field", "message"),
    [
        pytest.param(
            "[freezing air]",
            "[dry ground]",
            "- id: frost",
            "propositions[2]",
            "'dry ground' already means 'dry_soil', not also 'frost'",
            id="synonym twice",
        ),
        pytest.param(
            "english: open door",
            "english: dry soil",
            "- id: door_open",
            "propositions[3]",
            "'dry soil' already means 'dry_soil', not also 'door_open'",
            id="english twice",
        ),
        pytest.param(
            "[do nothing]",
            "[empty tank]",
            "- id: hold",
            "actions[0]",
            "'empty tank' already means 'tank_empty', not also 'hold'",
            id="proposition and action",
        ),
        pytest.param(
            "[door is open]",
            "[frost]",
            "- id: door_open",
            "propositions[3]",
            "'frost' already means 'frost', not also 'door_open'",
            id="synonym is an earlier id",
        ),
        pytest.param(
            "[door is open]",
            "[heat]",
            "- id: heat",
            "actions[2]",
            "'heat' already means 'door_open', not also 'heat'",
            id="synonym is a later id",
        ),
    ],
)
def test_phrase_with_two_meanings(copy, old: str, new: str, at: str, field: str, message: str) -> None:
    copy.replace(FILE, old, new)
    copy.rejects(FILE, at, f"{field}: {message}")


def test_a_word_may_repeat_its_own_phrase(copy) -> None:
    copy.replace(FILE, "[freezing air]", "[frost, freezing air, freezing air]")
    copy.load()


@pytest.mark.parametrize(
    ("old", "new", "start", "got"),
    [
        ("- id: frost", "- id: Frost", "propositions[2].id: expected a name of lower-case letters", "Frost"),
        ("- id: frost", "- id: no frost", "propositions[2].id: expected a name of lower-case letters", "no frost"),
        ("- id: frost", "- id: 2_frosts", "propositions[2].id: expected a name of lower-case letters", "2_frosts"),
        ("- id: frost", "- id: 'true'", "propositions[2].id: expected a name of lower-case letters", "true"),
        ("- id: frost", "- id: xor", "propositions[2].id: expected a name of lower-case letters", "xor"),
        ("english: frost", "english: Frost", "propositions[2].english: expected lower-case words", "Frost"),
        ("english: frost", "english: ''", "propositions[2].english: expected lower-case words", ""),
        ("english: frost", "english: frost, ice", "propositions[2].english: expected lower-case words", "frost, ice"),
        ("[freezing air]", "[ice, ' air']", "propositions[2].synonyms[1]: expected lower-case words", " air"),
        ("[freezing air]", "[air  frozen]", "propositions[2].synonyms[0]: expected lower-case words", "air  frozen"),
        ("idle: hold", "idle: to hold", "idle: expected a name of lower-case letters", "to hold"),
    ],
)  # fmt: skip
def test_bad_name_or_phrase(copy, old: str, new: str, start: str, got: str) -> None:
    copy.replace(FILE, old, new)
    copy.rejects(FILE, new, start, f"got {got!r}")


@pytest.mark.parametrize("phrase", ["left-turn light", "driver's door", "tank 2 is empty"])
def test_phrases_may_hold_hyphens_apostrophes_and_digits(copy, phrase: str) -> None:
    copy.replace(FILE, "[freezing air]", f'["{phrase}"]')
    assert copy.load()[0].vocabulary.propositions[2].synonyms == (phrase,)


@pytest.mark.parametrize(
    ("idle", "message"),
    [
        ("hould", "got 'hould', expected one of heat, hold, open_valve (did you mean 'hold'?)"),
        ("frost", "got 'frost', expected one of heat, hold, open_valve"),
    ],
)
def test_idle_is_an_action(copy, idle: str, message: str) -> None:
    copy.replace(FILE, "idle: hold", f"idle: {idle}")
    copy.rejects(FILE, "idle:", f"idle: {message}")


@pytest.mark.parametrize(
    ("key", "rows", "least"),
    [("propositions", "[]", 1), ("actions", "[]", 2), ("actions", "[{id: hold, english: hold}]", 2)],
)
def test_too_few_words(copy, key: str, rows: str, least: int) -> None:
    text = copy.text(FILE)
    end = {"propositions": "\nactions:", "actions": "\nidle:"}[key]
    start = text.index(f"{key}:")
    copy.write(FILE, f"{text[:start]}{key}: {rows}\n{text[text.index(end) :]}")
    copy.rejects(FILE, f"{key}:", f"{key}: ", f"at least {least} item")


def test_words_cannot_be_changed(greenhouse: Domain) -> None:
    with pytest.raises(ValueError, match="frozen"):
        greenhouse.vocabulary.idle = "heat"
    assert isinstance(greenhouse.vocabulary, Vocabulary)
