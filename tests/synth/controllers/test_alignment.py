import pytest

from verilora.specs.phrase import tokenize
from verilora.specs.vocabulary import Vocabulary
from verilora.synth.controllers.alignment import Alignment

from strategies import DRIVING, KETTLE

VOCABULARIES = pytest.mark.parametrize("vocabulary", [DRIVING, KETTLE], ids=["driving", "kettle"])


@VOCABULARIES
def test_every_phrase_means_its_word_and_no_word_of_the_other_kind(vocabulary: Vocabulary) -> None:
    alignment = Alignment(vocabulary)
    kinds = [
        (vocabulary.propositions, alignment.proposition, alignment.action),
        (vocabulary.actions, alignment.action, alignment.proposition),
    ]
    for words, find, find_other in kinds:
        for word in words:
            for phrase in (word.id, word.english, *word.synonyms):
                tokens = tokenize(phrase)
                assert find(tokens, 0) == (word.id, len(tokens)), phrase
                other = find_other(tokens, 0)
                assert other is None or other[1] < len(tokens), phrase


@pytest.mark.parametrize(
    ("text", "at", "found"),
    [
        pytest.param("lid", 0, ("lid", 1), id="whole text"),
        pytest.param("lid ajar", 0, ("lid_ajar", 2), id="the longest phrase wins"),
        pytest.param("lid and hot water", 0, ("lid", 1), id="words behind it are left"),
        pytest.param("lid and hot water", 2, ("hot", 4), id="in the middle"),
        pytest.param("The Half-Open LID", 0, ("lid_ajar", 3), id="capitals, articles, hyphens"),
        pytest.param("lid_ajar", 0, ("lid_ajar", 2), id="the name in formulas"),
        pytest.param("lids", 0, None, id="another form of the word"),
        pytest.param("li d", 0, None, id="part of the word"),
        pytest.param("water", 0, None, id="the end of a phrase"),
        pytest.param("hot", 0, ("hot", 1), id="the name, though it starts a phrase"),
        pytest.param("no lid", 0, None, id="not skipped to"),
        pytest.param("lid", 1, None, id="at the end"),
        pytest.param("lid", 7, None, id="behind the end"),
        pytest.param("", 0, None, id="nothing"),
    ],
)
def test_propositions_are_found_at_a_place_or_not_at_all(text: str, at: int, found: tuple[str, int] | None) -> None:
    assert Alignment(KETTLE).proposition(tokenize(text), at) == found


def test_actions_are_found_at_a_place_or_not_at_all() -> None:
    alignment = Alignment(KETTLE)
    tokens = tokenize("if lid, pour the cup's water, otherwise do nothing")
    assert [alignment.action(tokens, at) for at in range(len(tokens))] == [
        *[None] * 3,
        ("pour", 6),
        *[None] * 4,
        ("rest", 10),
        None,
    ]


def test_an_apostrophe_does_not_count() -> None:
    alignment = Alignment(KETTLE)
    assert alignment.action(tokenize("pour cup's water"), 0) == ("pour", 3)
    assert alignment.action(tokenize("pour cups water"), 0) == ("pour", 3)
