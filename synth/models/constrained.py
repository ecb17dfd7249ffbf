"""Constrained decoding: only what the grammar of steps allows is sampled (xgrammar, Dong et al., 2024)."""

from collections.abc import Collection
from typing import Any

import xgrammar

from ...specs.vocabulary import Vocabulary
from ..controllers.step_grammar import step_grammar


class StepCompiler:
    """The grammar of a vocabulary's steps over the tokens of one tokenizer. Compiled once, used for many answers.

    `vocab_size` is that of the logits; `end_ids` are the tokens that end a response, which only a whole one allows.
    """

    def __init__(self, vocabulary: Vocabulary, tokenizer: Any, vocab_size: int, end_ids: Collection[int]) -> None:
        tokens = xgrammar.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=vocab_size, stop_token_ids=sorted(end_ids)
        )
        self._grammar = xgrammar.GrammarCompiler(tokens).compile_grammar(step_grammar(vocabulary))

    def matcher(self) -> xgrammar.GrammarMatcher:
        """Return what may follow in a new answer."""
        return xgrammar.GrammarMatcher(self._grammar)
