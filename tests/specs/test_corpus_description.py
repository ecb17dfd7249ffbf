"""Corpora: the shipped ones, and what their reader refuses."""

import pytest

from verilora.specs.corpus_description import Literal, read_corpus
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError

FILE = "corpus.yaml"


def test_what_the_file_says_is_what_the_corpus_is(greenhouse: Domain) -> None:
    corpus = read_corpus(greenhouse.folder / FILE, greenhouse)
    first = corpus.combinations[0]
    assert (first.world, first.action, first.task) == ("glasshouse", "open_valve", "water-glasshouse")
    assert first.guards[0] == (Literal("dry_soil", negated=False), Literal("tank_empty", negated=True))
    assert corpus.qualities["low"].confuse == 0.15
    assert corpus.cores[2].labelled[0] == ("look", "observe {see}")
    assert corpus.cores[2].labelled[1][0] == ""
    assert [task_id for task_id, _ in corpus.asked] == ["water-glasshouse", "warm-glasshouse", "water-seedling-bench"]


def test_the_closest_words_win(driving: Domain) -> None:
    corpus = read_corpus(driving.folder / FILE, driving)
    combination = next(entry for entry in corpus.combinations if "ring_left" in entry.circumstances)
    assert corpus.words(combination, "ring_left")["side"] == corpus.circumstances["car_left"].lexicon["side"]
    assert "a car circles the ring on the left" in corpus.words(combination, "ring_left")["there"]
    assert corpus.words(combination, None)["route"] == corpus.actions["turn_left"]["route"]


def test_every_combination_of_world_and_manoeuvre_is_covered(driving: Domain) -> None:
    corpus = read_corpus(driving.folder / FILE, driving)
    asked = {
        (task.world, action)
        for task in driving.tasks.values()
        for action in task.goal.propositions - {driving.vocabulary.idle}
    }
    assert {(entry.world, entry.action) for entry in corpus.combinations} == asked


def test_the_digest_is_of_what_is_said_and_not_of_how(copy) -> None:
    before = read_corpus(copy.path(FILE), copy.load()[0]).digest
    copy.append(FILE, "# a remark\n")
    assert read_corpus(copy.path(FILE), copy.load()[0]).digest == before
    copy.replace(FILE, "plain_share: 0.8", "plain_share: 0.7")
    assert read_corpus(copy.path(FILE), copy.load()[0]).digest != before


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        pytest.param(
            "plain_share: 0.8",
            "plain_share: 1.8",
            "plain_share: 1.8",
            "plain_share: Input should be less than or equal to 1, got 1.8",
            id="chance over 1",
        ),
        pytest.param(
            "plain_share: 0.8",
            "plain_chair: 0.8",
            "plain_chair",
            "unknown key: got 'plain_chair', expected one of",
            id="unknown key",
        ),
        pytest.param(
            "  seedling_bench:\n    where",
            "  seedling_bank:\n    where",
            "  seedling_bank:",
            "worlds.seedling_bank: got 'seedling_bank', expected one of",
            id="unknown world of words",
        ),
        pytest.param(
            "  heat:\n    do:",
            "  hold:\n    do:",
            "  hold:",
            "actions.hold: got 'hold', expected one of heat, open_valve",
            id="words for the idle action",
        ),
        pytest.param(
            "mentions: [dry_soil]",
            "mentions: [dry_oil]",
            "[dry_oil]",
            "circumstances.dry.mentions[0]: got 'dry_oil', expected one of",
            id="unknown proposition mentioned",
        ),
        pytest.param(
            "mentions: [frost]",
            "extends: ice",
            "extends: ice",
            "circumstances.frost.extends: got 'ice', expected one of dry",
            id="extends what is not there",
        ),
        pytest.param(
            "task: warm-glasshouse",
            "task: water-seedling-bench  # elsewhere",
            "# elsewhere",
            "combinations[1].task: got 'water-seedling-bench', expected one of warm-glasshouse, water-glasshouse",
            id="task of another world",
        ),
        pytest.param(
            "guards: [[frost]]",
            "guards: [[no door_open]]",
            "guards: [[no door_open]]",
            "combinations[3].guards[0][0]: got 'door_open', expected one of dry_soil, frost",
            id="guard over what the world lacks",
        ),
        pytest.param(
            "guards: [[frost]]",
            "guards: [[]]",
            "guards: [[]]",
            "combinations[3].guards[0]: Tuple should have at least 1 item",
            id="empty guard",
        ),
        pytest.param(
            '"{do} now"',
            '"{do} {soon}"',
            "world: glasshouse\n    action: open_valve",
            "combinations[0]: in wordings of 'open_valve' in 'glasshouse' (no circumstance), no alternatives for a "
            "symbol: got 'soon'",
            id="symbol without alternatives",
        ),
        pytest.param(
            "please: [please, now, kindly]",
            'please: ["{plan}", "{please}"]',
            "world: glasshouse\n    action: open_valve",
            "combinations[0]: in wordings of 'open_valve' in 'glasshouse' (no circumstance), plain → please → please "
            "has no end",
            id="endless symbol",
        ),
        pytest.param(
            '["wait until {guard} then {act}"]',
            '["wait until {gard} then {act}"]',
            "{gard}",
            "cores[0].steps[0]: got 'gard', expected one of",
            id="unknown slot of a step",
        ),
        pytest.param(
            '[{look: "observe {see}"}, ',
            '[{look: "observe {see}", at: "observe {see}"}, ',
            "at: ",
            "cores[2].steps[0]: expected one label and its step, got 2",
            id="two labels",
        ),
        pytest.param(
            "weights: {high: 2, middle: 1}}",
            "weights: {hih: 2, middle: 1}}",
            "{hih: 2",
            "cores[2].weights.hih: got 'hih', expected one of high, low, middle (did you mean 'high'?)",
            id="weight of an unknown quality",
        ),
        pytest.param(
            "vague: [look after the plants, be careful, check the weather]",
            "vague: []",
            "vague: []",
            "vague: no vague lines, but a quality asks for some",
            id="no vague lines",
        ),
        pytest.param(
            "qualities: {high: 0.4, middle: 0.4, low: 0.2}",
            "qualities: {higher: 1}",
            "{higher: 1}",
            "repair.qualities.higher: got 'higher', expected one of high, low, middle",
            id="unknown quality of repairs",
        ),
    ],
)
def test_errors_name_line_and_field(copy, old: str, new: str, at: str, message: str) -> None:
    copy.replace(FILE, old, new)
    domain, _ = copy.load()
    with pytest.raises(InputError) as caught:
        read_corpus(copy.path(FILE), domain)
    line = copy.text(FILE).count("\n", 0, copy.text(FILE).index(at)) + 1
    assert str(caught.value).startswith(f"{copy.path(FILE)}:{line}: {message}"), str(caught.value)


def test_phrases_must_be_read_as_what_they_stand_for(copy) -> None:
    copy.append(FILE, "phrases:\n  frost: [freezing air, hail]\n")
    domain, _ = copy.load()
    with pytest.raises(InputError, match=r"phrases\.frost\[1\]: the vocabulary does not read 'hail' as 'frost'"):
        read_corpus(copy.path(FILE), domain)


def test_somebody_must_ask_for_something(copy) -> None:
    for task in ("water-glasshouse", "warm-glasshouse", "water-seedling-bench"):
        copy.replace(FILE, f"    task: {task}\n", "")
    domain, _ = copy.load()
    with pytest.raises(InputError, match="combinations: none has a task: expected one that somebody asks for"):
        read_corpus(copy.path(FILE), domain)
