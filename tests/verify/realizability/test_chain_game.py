"""Whether formulas can be kept almost surely, against a plain search and against controllers found by chance."""

from random import Random

import pytest
from random_books import RandomBook, random_book, random_controller

from verilora.specs.processes.deadline import Deadline
from verilora.synth.controllers.controller import Controller
from verilora.verify.checking.check import Runs, find_violation
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.product import product
from verilora.verify.realizability.chain_game import ChainGame
from verilora.verify.realizability.ltl_game import strategy_controller

from oracle import can_be_kept, holds_almost_surely
from strategies import KETTLE

COMPILER = Compiler(30.0)
NUM_CONTROLLERS = 20


def game_of(book: RandomBook) -> ChainGame:
    return ChainGame(book.world.graph, KETTLE, {formula: COMPILER.compile(formula) for formula in book.formulas})


def keeps(controller: Controller, book: RandomBook) -> bool:
    behaviour = product(book.world.graph, controller.automaton(), Deadline())
    return not any(find_violation(behaviour, COMPILER.compile(formula), Runs.CHAIN) for formula in book.formulas)


def check_seed(seed: int) -> bool:
    """Compare one random book with the oracle, and return whether it can be kept."""
    book = random_book(seed, KETTLE, COMPILER)
    texts = [formula.text for formula in book.formulas]
    game = game_of(book)
    is_winnable = game.is_winnable(book.formulas)
    assert is_winnable == can_be_kept(book.formulas, book.world, KETTLE), f"seed {seed}: {texts}"
    strategy = game.solve(book.formulas)
    assert (strategy is not None) == is_winnable
    if strategy is not None:
        winner = strategy_controller(strategy, KETTLE)
        assert keeps(winner, book), f"seed {seed}: {texts}"
        assert all(holds_almost_surely(formula, book.world, winner) for formula in book.formulas), f"seed {seed}"
    random = Random(seed)
    found = any(keeps(random_controller(random, KETTLE), book) for _ in range(NUM_CONTROLLERS))
    assert is_winnable or not found, f"seed {seed}: {texts}"
    return is_winnable


def test_random_books_are_kept_as_the_oracle_says() -> None:
    answers = [check_seed(seed) for seed in range(85, 125)]
    assert 8 < sum(answers) < 32


@pytest.mark.slow
def test_a_thousand_random_books_are_kept_as_the_oracle_says() -> None:
    print("seeds 1000 to 1999")
    answers = [check_seed(seed) for seed in range(1000, 2000)]
    assert 200 < sum(answers) < 800
