"""Requests with a grammar: every answer parses, and what goes wrong with one goes wrong for it alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import xgrammar

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import engine_of, random_model
from listening import Heard, check_empty, drain

# A token is a character, and the last ends an answer.
ALPHABET = [*'{}":,0123456789abc']
END = len(ALPHABET)
GRAMMAR = r"""root ::= "{" pair ("," pair)? "}"
pair ::= "\"" [a-c] "\":" [0-9]
"""
HOT = SamplingParams(temperature=1.5, max_tokens=20)

DEAD_END = "grammar, got no token that may follow with what else is asked for, expected at least one"


@pytest.fixture(scope="module")
def engine() -> Engine:
    made = engine_of(random_model(num_hidden_layers=1, vocab_size=32))
    return Engine(made._decoder, made.settings, end_ids=[END], is_paged=False)


@pytest.fixture(scope="module")
def grammar() -> Callable[[], Any]:
    tokens = xgrammar.TokenizerInfo([*ALPHABET, "<end>"], vocab_size=32, stop_token_ids=[END])
    compiled = xgrammar.GrammarCompiler(tokens).compile_grammar(GRAMMAR)
    return lambda: xgrammar.GrammarMatcher(compiled)


def asked(grammar: Callable[[], Any] | None, seed: int = 0, **changes: Any) -> Request:
    return Request(prompt=(0, 3, seed % 20), params=replace(HOT, seed=seed, **changes), grammar=grammar)


def tokens(answers: list[list[Output]]) -> list[list[tuple[int, ...]]]:
    return [[output.token_ids for output in outputs] for outputs in answers]


def spelled(output: Output) -> str:
    return "".join(ALPHABET[token] for token in output.token_ids if token != END)


@pytest.mark.parametrize("changes", [{}, {"temperature": 0}, {"top_p": 0.9}, {"n": 4}], ids=str)
def test_every_answer_parses_and_seeds_fix_it(
    engine: Engine, grammar: Callable[[], Any], changes: dict[str, Any]
) -> None:
    requests = [asked(grammar if seed % 3 else None, seed, **changes) for seed in range(24)]
    first, again = engine.generate(requests), engine.generate(requests)
    assert tokens(first) == tokens(again)
    for request, outputs in zip(requests, first, strict=True):
        for output in outputs:
            if request.grammar is not None:
                assert output.finish is Finish.STOP
                assert json.loads(spelled(output))


def test_swapped_or_computed_again_it_goes_on_where_it_was(engine: Engine, grammar: Callable[[], Any]) -> None:
    # Long enough for an answer to need another page.
    requests = [replace(asked(grammar, seed), prompt=(0, 3, seed % 20) * 10) for seed in range(24)]
    expected = tokens(engine.generate(requests))
    for preemption in ("swap", "recompute"):
        settings = replace(engine.settings, memory_bytes=2**17, preemption=preemption)
        small = Engine(engine._decoder, settings, end_ids=[END], is_paged=True)
        assert tokens(small.generate(requests)) == expected
        assert small.counters().num_preemptions > 0


def test_a_forced_token_that_it_forbids(engine: Engine, grammar: Callable[[], Any]) -> None:
    neighbours = [asked(grammar, seed) for seed in range(4)]
    alone = engine.generate(neighbours)
    (bad,), *others = engine.generate([asked(grammar, forced_ids=(0, 2, 2)), *neighbours])
    assert bad.finish is Finish.ERROR
    assert bad.error == "token 2, forced, expected one that the grammar allows"
    assert bad.token_ids == (0, 2)
    assert tokens(others) == tokens(alone)


def test_bans_that_leave_nothing(engine: Engine, grammar: Callable[[], Any]) -> None:
    (bad,), (good,) = engine.generate([asked(grammar, banned_ids=frozenset({0})), asked(grammar, 1)])
    assert bad.error == DEAD_END
    assert good.finish is Finish.STOP
    # The grammar allows nothing but the end, which must not come yet.
    ((late,),) = engine.generate([asked(grammar, min_tokens=20)])
    assert late.error == DEAD_END


def test_its_end_is_the_answers_end_whatever_the_models_is(engine: Engine, grammar: Callable[[], Any]) -> None:
    without_ends = Engine(engine._decoder, engine.settings, is_paged=False)
    for one, changes in ((engine, {"ignore_eos": True}), (without_ends, {})):
        (answer,), (neighbour,) = one.generate([asked(grammar, 5, **changes), asked(None, ignore_eos=True)])
        assert answer.finish is Finish.STOP, answer
        assert json.loads(spelled(answer))
        assert neighbour.finish is Finish.LENGTH


class Failing:
    """A matcher that fails when it is asked, or told, for the third time."""

    def __init__(self, fails_in: str) -> None:
        self.fails_in, self.num_calls = fails_in, 0

    def _call(self, name: str) -> None:
        self.num_calls += name == self.fails_in
        if self.num_calls == 3:
            raise RuntimeError("out of patience")

    def fill_next_token_bitmask(self, bitmask: Any, index: int) -> None:
        self._call("fill")

    def accept_token(self, token_id: int) -> bool:
        self._call("accept")
        return True

    def is_terminated(self) -> bool:
        self._call("ends")
        return False


@pytest.mark.parametrize("fails_in", ["fill", "accept", "ends"])
def test_a_matcher_that_fails(engine: Engine, fails_in: str) -> None:
    alone = engine.generate([asked(None, 7)])
    (bad,), *good = engine.generate([asked(lambda: Failing(fails_in), ignore_eos=True), asked(None, 7)])
    assert bad.finish is Finish.ERROR
    assert bad.error == "grammar, failed: RuntimeError: out of patience"
    assert tokens(good) == tokens(alone)


def test_a_grammar_that_cannot_be_made_leaves_nothing_behind(engine: Engine, grammar: Callable[[], Any]) -> None:
    made: list[Any] = []

    def second_fails() -> Any:
        if made:
            raise RuntimeError("no more")
        made.append(grammar())
        return made[0]

    heard = Heard()
    drain(engine)
    with pytest.raises(RuntimeError, match="no more"):
        engine.submit(asked(second_fails, n=2), heard)
    with pytest.raises(RuntimeError, match="no more"):
        engine.generate([asked(grammar), asked(second_fails, n=2)])
    assert not engine.step()
    check_empty(engine)
    assert not heard.outputs
