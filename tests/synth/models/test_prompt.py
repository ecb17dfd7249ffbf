import pytest

from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.controller import Ending, Otherwise, Reading
from verilora.synth.controllers.steps import parse_steps
from verilora.synth.models.prompt import Prompter, PromptStyle

FULL = PromptStyle.FULL


def test_a_plain_question_is_the_wording_alone(driving: Domain) -> None:
    prompter = Prompter(driving, PromptStyle.PLAIN)
    assert prompter.ask("Turn left") == ({"role": "user", "content": "Turn left"},)


def test_a_full_question_names_all_words_and_shows_steps_that_can_be_read(driving: Domain, greenhouse: Domain) -> None:
    for domain in (driving, greenhouse):
        (message,) = Prompter(domain, FULL).ask("Do it!")
        words = domain.vocabulary
        assert message["role"] == "user"
        assert "Do it!" in message["content"]
        for word in (*words.propositions, *words.actions):
            assert word.english in message["content"]
        example = message["content"].partition("not a solution:\n")[2]
        assert len(parse_steps(example, Alignment(words))) == 3


@pytest.mark.parametrize(
    ("reading", "meaning"),
    [
        (Reading(), "stays at the step if the condition is false. After the last line step 1 follows again."),
        (Reading(ending=Ending.ONE_SHOT), 'After the last line the action is "hold" for ever.'),
        (Reading(otherwise=Otherwise.ADVANCE), 'Without "otherwise", the next step follows'),
    ],
)
def test_a_full_question_says_how_the_steps_will_be_read(greenhouse: Domain, reading: Reading, meaning: str) -> None:
    assert meaning in Prompter(greenhouse, FULL, reading).ask("Water them")[0]["content"]


@pytest.mark.parametrize("style", PromptStyle)
def test_a_repair_goes_on_from_the_question(driving: Domain, style: PromptStyle) -> None:
    prompter = Prompter(driving, style)
    conversation = prompter.repair("Turn left", "1. stop\n2. stop", "This stands idle for ever.")
    assert conversation[:1] == prompter.ask("Turn left")
    assert conversation[1:] == (
        {"role": "assistant", "content": "1. stop\n2. stop"},
        {"role": "user", "content": "This stands idle for ever."},
    )


def test_the_paper_asks_twice(driving: Domain) -> None:
    prompter = Prompter(driving, FULL)
    assert prompter.ask_freely("Turn left")[0]["content"] == 'Steps for "Turn left":'
    (message,) = prompter.align("Turn left", "1. Look around.\n2. Go.")
    assert "Turn left\n\n1. Look around.\n2. Go.\n\nRephrase them" in message["content"]
    assert "car from left" in message["content"]
