"""Constrained decoding: only what the grammar of steps allows is sampled (xgrammar, Dong et al., 2024)."""

from collections.abc import Collection, Sequence
from typing import Any

import xgrammar
from torch import Tensor

from ...specs.vocabulary import Vocabulary
from ..controllers.step_grammar import step_grammar


class StepCompiler:
    """The grammar of a vocabulary's steps over the tokens of one tokenizer. Compiled once, used for many batches.

    `vocab_size` is that of the logits; `end_ids` are the tokens that end a response, which only a whole one allows.
    """

    def __init__(self, vocabulary: Vocabulary, tokenizer: Any, vocab_size: int, end_ids: Collection[int]) -> None:
        self.vocab_size = vocab_size
        tokens = xgrammar.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=vocab_size, stop_token_ids=sorted(end_ids)
        )
        self._grammar = xgrammar.GrammarCompiler(tokens).compile_grammar(step_grammar(vocabulary))

    def constraint(self, num_rows: int) -> "StepConstraint":
        """Return what may follow in a new batch."""
        return StepConstraint([xgrammar.GrammarMatcher(self._grammar) for _ in range(num_rows)], self.vocab_size)


class StepConstraint:
    """What the grammar allows next in each row of a batch; the `Constraint` of `decoding.py`."""

    def __init__(self, matchers: Sequence[xgrammar.GrammarMatcher], vocab_size: int) -> None:
        self._matchers = matchers
        self._bitmask = xgrammar.allocate_token_bitmask(len(matchers), vocab_size)

    def mask(self, logits: Tensor, rows: Sequence[int]) -> None:
        for position, row in enumerate(rows):
            self._matchers[row].fill_next_token_bitmask(self._bitmask, position)
        xgrammar.apply_token_bitmask_inplace(logits, self._bitmask[: len(rows)].to(logits.device))

    def accept(self, tokens: Sequence[int], rows: Sequence[int]) -> None:
        for token, row in zip(tokens, rows, strict=True):
            accepted = self._matchers[row].accept_token(token)
            assert accepted, "the mask allows no other token"
