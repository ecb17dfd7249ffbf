"""Pretraining of a small Llama on a corpus of tokens, on one GPU or on a CPU."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ...specs.files.errors import InputError
from ..models.prompt import PromptStyle
from .token_corpus import TokenCorpus

_IGNORED = -100
_BATCHES_SORTED_TOGETHER = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A Llama with tied embeddings. `context` is the longest conversation that it can hold."""

    hidden: int = 192
    layers: int = 4
    heads: int = 3
    intermediate: int = 576
    context: int = 1024

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"expected an even number of dimensions a head, got {self.hidden} over {self.heads} heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """How long and how fast: AdamW under a cosine that ends at a hundredth, loss on answers alone."""

    num_tokens: int
    batch_tokens: int
    learning_rate: float
    weight_decay: float = 0.1
    warmup: float = 0.02
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("num_tokens", "batch_tokens", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


ReportLoss = Callable[[int, float], None]
"""(tokens seen, mean loss since the last report)"""


def new_model(architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return an untrained model, the same for the same seed."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=architecture.hidden,
        intermediate_size=architecture.intermediate,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # It was trained on wordings alone.
    config.prompt_style = PromptStyle.PLAIN.value
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def pretrain(model: nn.Module, corpus: TokenCorpus, how: Pretraining, report: ReportLoss) -> None:
    """Train a model in place until it has seen `how.num_tokens` tokens, the corpus as often as it takes.

    Raises InputError when the loss is no longer finite.
    """
    model.to(how.device).train()
    batches = _Batches(corpus, how)
    optimizer = _optimizer(model, how)
    seen, since, losses = 0, 0, []
    for batch in batches:
        for group in optimizer.param_groups:
            group["lr"] = how.learning_rate * _schedule(seen / how.num_tokens, how.warmup)
        loss = _loss(model, *batches.tensors(batch), how.device)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        seen += batches.num_tokens(batch)
        if seen >= how.num_tokens or seen - since >= how.num_tokens / 100:
            loss_since = torch.stack(losses).mean().item()
            if not math.isfinite(loss_since):
                message = f"diverged: after {seen} tokens the loss is no longer finite; expected a lower learning rate"
                raise InputError("pretraining", f"{message} than {how.learning_rate:g}")
            report(seen, loss_since)
            since, losses = seen, []
        if seen >= how.num_tokens:
            break
    model.eval()


@torch.inference_mode()
def mean_loss(model: nn.Module, corpus: TokenCorpus, how: Pretraining) -> float:
    """Return the mean loss per token of the answers of a corpus, each read once."""
    batches = _Batches(corpus, how)
    total, count = 0.0, 0
    for batch in batches.epoch(np.random.default_rng(how.seed)):
        token_ids, labels = batches.tensors(batch)
        num_answered = int((labels[:, 1:] != _IGNORED).sum())
        total += _loss(model, token_ids, labels, how.device).item() * num_answered
        count += num_answered
    return total / count


class _Batches:
    """Batches of sequences of about one length, at most `batch_tokens` tokens with their padding."""

    def __init__(self, corpus: TokenCorpus, how: Pretraining) -> None:
        self._how = how
        self._lengths = corpus.lengths
        longest = int(self._lengths.max())
        if longest > how.batch_tokens:
            raise ValueError(f"batch_tokens: expected at least {longest}, the longest sequence, got {how.batch_tokens}")
        self._tokens = torch.from_numpy(corpus.tokens.astype(np.int32)).to(how.device)
        self._starts = torch.from_numpy(corpus.starts).to(how.device)
        self._answers = torch.from_numpy(corpus.answers).to(how.device)

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        random = np.random.default_rng(self._how.seed)
        while True:
            yield from self.epoch(random)

    def epoch(self, random: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the numbers of the sequences of each batch, all sequences once."""
        # Padding costs what tokens cost, so a batch holds sequences of about one length; several in one row would need
        # no padding, but each would see those before it. Sorted over the whole corpus, a sequence would only ever meet
        # others of its very length. So windows of a random order are sorted, and the batches of a window are shuffled
        # again: else each window would go from short sequences to long ones.
        order = random.permutation(len(self._lengths))
        window = max(1, int(_BATCHES_SORTED_TOGETHER * self._how.batch_tokens / self._lengths.mean()))
        for first in range(0, len(order), window):
            part = order[first : first + window]
            batches = list(self._cut(part[np.argsort(self._lengths[part], kind="stable")]))
            for position in random.permutation(len(batches)):
                yield batches[position]

    def _cut(self, order: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        """Yield pieces of an order by length, each as long as its longest, last sequence allows."""
        first = 0
        while first < len(order):
            # n sequences cost n times the length of the nth, which is the longest of them. That grows with n, so the
            # number of those that fit is where the piece ends.
            fits = np.arange(1, len(order) - first + 1) * self._lengths[order[first:]] <= self._how.batch_tokens
            last = first + int(fits.sum())
            yield order[first:last]
            first = last

    def num_tokens(self, batch: npt.NDArray[np.int64]) -> int:
        return int(self._lengths[batch].sum())

    def tensors(self, batch: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return token ids and labels, `[num_sequences, longest]`; what is no answer is ignored."""
        rows = torch.from_numpy(batch).to(self._how.device, non_blocking=True)
        position = torch.arange(int(self._lengths[batch].max()), device=self._how.device)
        starts, ends = self._starts[rows, None], self._starts[rows + 1, None]
        is_inside = position < ends - starts
        # Padding repeats the last token: nothing before it can see it, and it has no label.
        token_ids = self._tokens[(starts + position).minimum(ends - 1)].long()
        is_answer = is_inside & (position >= self._answers[rows, None])
        return token_ids, token_ids.masked_fill(~is_answer, _IGNORED)


def _loss(model: nn.Module, token_ids: Tensor, labels: Tensor, device: str) -> Tensor:
    kind = torch.device(device).type
    with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
        logits = model(input_ids=token_ids, use_cache=False).logits
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())


def _optimizer(model: nn.Module, how: Pretraining) -> torch.optim.AdamW:
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": how.weight_decay}, {"params": others, "weight_decay": 0.0}]
    is_fused = torch.device(how.device).type == "cuda"
    return torch.optim.AdamW(groups, lr=how.learning_rate, betas=(0.9, 0.95), fused=is_fused)


def _schedule(done: float, warmup: float) -> float:
    """Return the factor of the learning rate: a linear warm-up, then a cosine down to a hundredth."""
    if done < warmup:
        return max(done / warmup, 0.02)
    progress = min(1.0, (done - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
