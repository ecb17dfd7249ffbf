import random

import pytest
import xgrammar
from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.vocabulary import Vocabulary
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.step_grammar import step_grammar
from verilora.synth.controllers.steps import MAX_DEPTH, InvalidController, Program, parse_steps, print_steps

from strategies import DRIVING, KETTLE, programs

CHARACTERS = ["\n", *map(chr, range(32, 127))]
GRAMMARS = {
    id(vocabulary): xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(CHARACTERS)).compile_grammar(
        step_grammar(vocabulary)
    )
    for vocabulary in (DRIVING, KETTLE)
}


def is_accepted(text: str, vocabulary: Vocabulary) -> bool:
    matcher = xgrammar.GrammarMatcher(GRAMMARS[id(vocabulary)], terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_completed()


def parses(text: str, vocabulary: Vocabulary) -> bool:
    try:
        parse_steps(text, Alignment(vocabulary))
    except InvalidController:
        return False
    return True


@given(programs(DRIVING))
def test_printed_programs_are_accepted(program: Program) -> None:
    assert is_accepted(print_steps(program, DRIVING), DRIVING)


@given(programs(KETTLE), st.randoms(use_true_random=False))
def test_what_is_accepted_parses_however_a_program_was_changed(program: Program, chance: random.Random) -> None:
    text = print_steps(program, KETTLE)
    assert is_accepted(text, KETTLE)
    pieces = text.replace("\n", " \n ").split(" ")
    for _ in range(20):
        changed = list(pieces)
        at = chance.randrange(len(changed))
        changed[at : at + chance.randrange(2)] = chance.sample(pieces, chance.randrange(3) % len(pieces))
        mutant = " ".join(changed).replace(" \n ", "\n")
        assert not is_accepted(mutant, KETTLE) or parses(mutant, KETTLE), mutant


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("1. heat\n2. pour", True),
        ("\n".join(f"{number}. go to step 8" for number in range(1, 9)), True),
        ("1. wait until lid\n2. if no lid and (hot water or not (lid ajar)), pour, otherwise go to step 2", True),
        (
            "1. observe hot water and lid ajar\n2. if lid or hot water or no lid ajar, go to step 1, otherwise stay",
            True,
        ),
        ("1. wait until lid then pour\n2. if lid, heat", True),
        (f"1. wait until {'(' * MAX_DEPTH}lid{')' * MAX_DEPTH}\n2. heat", True),
        (f"1. wait until {'(' * (MAX_DEPTH + 1)}lid{')' * (MAX_DEPTH + 1)}\n2. heat", False),
        ("1. heat", False),
        ("\n".join(f"{number}. heat" for number in range(1, 10)), False),
        ("1. heat\n3. pour", False),
        ("1. go to step 3\n2. pour", False),
        ("1. go to step 0\n2. pour", False),
        ("1. wait until lid and hot water or lid ajar\n2. pour", False),
        ("1. wait until lid, pour\n2. pour", False),
        ("1. observe no lid\n2. pour", False),
        ("1. stay\n2. pour", False),
        ("1. boil\n2. pour", False),
        ("1. heat\n2. pour\n", False),
        ("", False),
    ],
)
def test_examples(text: str, accepted: bool) -> None:
    assert is_accepted(text, KETTLE) is accepted
    assert parses(text, KETTLE) or not accepted


def test_more_steps_where_they_are_asked_for() -> None:
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(CHARACTERS))
    matcher = xgrammar.GrammarMatcher(
        compiler.compile_grammar(step_grammar(KETTLE, 12)), terminate_without_stop_token=True
    )
    assert matcher.accept_string("\n".join(f"{number}. go to step 12" for number in range(1, 13)))
    assert matcher.is_completed()
