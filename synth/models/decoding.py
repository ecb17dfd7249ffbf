"""Decoding: a batch of prompts, continued token by token."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import DynamicCache


class Constraint(Protocol):
    """What may follow in each row."""

    def mask(self, logits: Tensor, rows: Sequence[int]) -> None:
        """Set the logits `[len(rows), vocab_size]` of what may not follow to minus infinity."""

    def accept(self, tokens: Sequence[int], rows: Sequence[int]) -> None:
        """Take note of the tokens that were chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are chosen. Temperature 0 takes the likeliest; `end_ids` end a row, `banned_ids` never come."""

    temperature: float
    top_p: float
    max_new_tokens: int
    end_ids: Collection[int]
    banned_ids: Collection[int] = ()


@torch.inference_mode()
def decode(
    model: nn.Module, prompts: Sequence[Sequence[int]], decoding: Decoding, seed: int, constraint: Constraint | None
) -> list[list[int]]:
    """Return the tokens that continue each prompt, the one that ends it included.

    Rows that have ended leave the batch at once. The model's context bounds prompt and continuation together: raises
    ValueError for a prompt that fills it, and FloatingPointError for logits that are not finite.
    """
    state = _Batch(model, prompts, decoding.max_new_tokens)
    noise = torch.Generator(state.device).manual_seed(seed)
    ends = torch.tensor(list(decoding.end_ids), device=state.device)
    banned = torch.tensor(list(decoding.banned_ids), dtype=torch.long, device=state.device)
    produced: list[list[int]] = [[] for _ in prompts]
    while state.rows:
        logits = state.forward(model)
        # Before anything is masked: a mask or the likeliest token would hide what is no number.
        if not bool(logits.isfinite().all()):
            raise FloatingPointError("logits, got some that are not finite, expected numbers to choose by")
        logits = logits.index_fill(1, banned, -torch.inf)
        if constraint:
            constraint.mask(logits, state.rows)
        chosen = _choose(logits, decoding, noise)
        tokens = chosen.tolist()
        if constraint:
            constraint.accept(tokens, state.rows)
        for row, token in zip(state.rows, tokens, strict=True):
            produced[row].append(token)
        state.advance(chosen, torch.isin(chosen, ends))
    return produced


class _Batch:
    """The rows that go on, left-padded, with the keys and values of what they hold so far."""

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        config: Any = model.config
        context = config.max_position_embeddings
        longest = max(map(len, prompts))
        if longest >= context:
            raise ValueError(f"a prompt has {longest} tokens, expected fewer than the model's context of {context}")
        self.device = next(model.parameters()).device
        self.rows = list(range(len(prompts)))
        padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self.token_ids = torch.tensor(padded, device=self.device)
        self.mask = torch.tensor(mask, device=self.device)
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.left = torch.tensor([min(max_new_tokens, context - len(prompt)) for prompt in prompts], device=self.device)
        self.cache = DynamicCache(config=config)

    def forward(self, model: nn.Module) -> Tensor:
        """Return the logits of each row's next token, `[num_rows, vocab_size]` in fp32."""
        output = model(
            input_ids=self.token_ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def advance(self, chosen: Tensor, ended: Tensor) -> None:
        """Append a token to each row, and let go of the rows that ended or are full."""
        self.left = self.left - 1
        self.token_ids = chosen[:, None]
        self.positions = self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], 1)
        going_on = (~ended & (self.left > 0)).nonzero()[:, 0]
        if len(going_on) < len(self.rows):
            self._keep(going_on)

    def _keep(self, rows: Tensor) -> None:
        self.rows = [self.rows[row] for row in rows.tolist()]
        self.token_ids, self.positions = self.token_ids[rows], self.positions[rows]
        self.mask, self.left = self.mask[rows], self.left[rows]
        self.cache.batch_select_indices(rows)


def _choose(logits: Tensor, decoding: Decoding, noise: torch.Generator) -> Tensor:
    if decoding.temperature == 0:
        return logits.argmax(1)
    probabilities = torch.softmax(logits / decoding.temperature, 1)
    if not bool(probabilities.isfinite().all()):
        # The logits are numbers; divided by so little, they are none any more. The limit is the likeliest token.
        return logits.argmax(1)
    if decoding.top_p < 1:
        probabilities = _nucleus(probabilities, decoding.top_p)
    return torch.multinomial(probabilities, 1, generator=noise)[:, 0]


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Return the probabilities without those outside the smallest set that holds `top_p` (Holtzman et al., 2020)."""
    ordered, order = probabilities.sort(1, descending=True)
    outside = ordered.cumsum(1) - ordered >= top_p
    return probabilities.masked_fill(outside.scatter(1, order, outside), 0.0)
