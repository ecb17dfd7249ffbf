"""Grammars are compiled elsewhere, once each, within a deadline, and the engine's side reads what comes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import torch
import xgrammar

from verilora.serving.grammars import grammar_compiler
from verilora.serving.grammars.grammar import ANY_OBJECT, Grammar, GrammarKind
from verilora.serving.grammars.grammar_compiler import GrammarCompiler, GrammarRefused
from verilora.serving.grammars.grammar_shelf import MOST_GRAMMARS, GrammarShelf, SentGrammars
from verilora.synth.models.chat import Chat

SCHEMA = {"type": "object", "properties": {"turn": {"enum": ["left", "right"]}}, "required": ["turn"]}


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat()


@pytest.fixture(scope="module")
def tokens(chat: Chat) -> str:
    info = xgrammar.TokenizerInfo.from_huggingface(chat.tokenizer, vocab_size=991, stop_token_ids=sorted(chat.end_ids))
    return info.serialize_json()


@pytest.fixture
def path(tmp_path: Path, tokens: str) -> str:
    (tmp_path / "tokens.json").write_text(tokens)
    return str(tmp_path / "tokens.json")


def run(path: str, work: Callable[[GrammarCompiler], Awaitable[None]], seconds: float = 20) -> None:
    async def both() -> None:
        compiler = GrammarCompiler(path, seconds)
        try:
            await work(compiler)
        finally:
            await compiler.close()

    asyncio.run(both())


def allows(shelf: GrammarShelf, key: str, chat: Chat, text: str) -> bool:
    """Return whether a grammar lets a text be the whole answer."""
    matcher = shelf.matcher(key)()
    mask = torch.full((1, (991 + 31) // 32), -1, dtype=torch.int32)
    for token in chat.tokenizer.encode(text):
        if not matcher.accept_token(token):
            return False
    matcher.fill_next_token_bitmask(mask, 0)
    end = next(iter(chat.end_ids))
    return bool(mask[0, end // 32] >> (end % 32) & 1)


def test_what_is_compiled_here_is_followed_there(path: str, tokens: str, chat: Chat) -> None:
    async def work(compiler: GrammarCompiler) -> None:
        grammar = Grammar(GrammarKind.SCHEMA, json.dumps(SCHEMA))
        first, second = await asyncio.gather(compiler.compile(grammar), compiler.compile(grammar))
        assert first is second
        assert await compiler.compile(grammar) is first
        shelf = GrammarShelf(tokens)
        shelf.put(grammar.key, first)
        assert allows(shelf, grammar.key, chat, '{"turn": "left"}')
        assert not allows(shelf, grammar.key, chat, '{"turn": "back"}')
        assert not allows(shelf, grammar.key, chat, '{"turn": "left"')

    run(path, work)


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(GrammarKind.SCHEMA, '{"type": "nothing"}'),
        Grammar(GrammarKind.SCHEMA, '{"$ref": "#/nowhere"}'),
        Grammar(GrammarKind.SCHEMA, '{"$ref": "#"}'),
        Grammar(GrammarKind.SCHEMA, "{"),
        Grammar(GrammarKind.EBNF, "root ::= nothing"),
    ],
    ids=lambda grammar: grammar.content,
)
def test_what_cannot_be_compiled_is_refused_and_the_next_is_not(path: str, grammar: Grammar) -> None:
    async def work(compiler: GrammarCompiler) -> None:
        with pytest.raises(GrammarRefused) as refused:
            await compiler.compile(grammar)
        assert "/project/" not in str(refused.value)
        assert path not in str(refused.value)
        assert await compiler.compile(ANY_OBJECT)

    run(path, work)


def test_what_takes_too_long_is_killed(path: str) -> None:
    async def work(compiler: GrammarCompiler) -> None:
        # The process itself must be there first.
        assert await compiler.compile(ANY_OBJECT)
        compiler._seconds = 0.001
        with pytest.raises(GrammarRefused, match="took longer"):
            await compiler.compile(Grammar(GrammarKind.SCHEMA, json.dumps(SCHEMA)))
        compiler._seconds = 20
        assert await compiler.compile(Grammar(GrammarKind.SCHEMA, json.dumps(SCHEMA)))

    run(path, work)


def test_few_are_kept(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_compiler, "MOST_GRAMMARS", 2)

    async def work(compiler: GrammarCompiler) -> None:
        for number in range(4):
            await compiler.compile(Grammar(GrammarKind.SCHEMA, json.dumps({"const": number})))
        assert len(compiler._kept) == 2
        assert compiler._num_bytes == sum(map(len, compiler._kept.values()))

    run(path, work)


def test_both_sides_keep_the_same(tokens: str, path: str) -> None:
    compiled: list[bytes] = []

    async def work(compiler: GrammarCompiler) -> None:
        compiled.append(await compiler.compile(Grammar(GrammarKind.SCHEMA, '{"const": 1}')))

    run(path, work)
    sent, shelf = SentGrammars(), GrammarShelf(tokens)
    for number in [*range(MOST_GRAMMARS), 0, *range(MOST_GRAMMARS, MOST_GRAMMARS + 3), 0, 1, 2]:
        if not sent.use(str(number)):
            sent.put(str(number))
            sent.use(str(number))
            shelf.put(str(number), compiled[0])
        assert shelf.matcher(str(number))
    with pytest.raises(ValueError, match="grammar, is not there any more"):
        shelf.matcher("3")
    assert not sent.use("3")
    with pytest.raises(ValueError, match="grammar, cannot be read"):
        shelf.put("bad", b"nonsense")
