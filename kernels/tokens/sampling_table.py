"""What each request asks of its draws, in tensors on the device, so that a captured graph sees changes."""

from dataclasses import dataclass, fields

import torch

from .token_bitmask import WORD_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTable:
    """Tensors with one entry a request slot; each field's comment names the value that changes nothing."""

    # fp32 [num_slots]; 1, and 0 takes the token with the largest logit
    temperature: torch.Tensor
    # int32 [num_slots]; 0
    top_k: torch.Tensor
    # fp32 [num_slots]; 1
    top_p: torch.Tensor
    # fp32 [num_slots]; 0
    min_p: torch.Tensor
    # fp32 [num_slots]; 1
    repetition_penalty: torch.Tensor
    # fp32 [num_slots]; 0
    presence_penalty: torch.Tensor
    # fp32 [num_slots]; 0
    frequency_penalty: torch.Tensor
    # int64 [num_slots]
    seed: torch.Tensor
    # int32 [num_slots, ceil(vocab_size / 32)]: bits of the tokens in the prompt, packed as in token_bitmask
    prompt_tokens: torch.Tensor
    # int32 [num_slots, vocab_size]: how often each token was drawn
    output_counts: torch.Tensor

    def __post_init__(self) -> None:
        num_slots, vocab_size = self.num_slots, self.vocab_size
        shapes = {"prompt_tokens": (num_slots, -(-vocab_size // WORD_BITS)), "output_counts": (num_slots, vocab_size)}
        types = {"seed": torch.int64, **dict.fromkeys(("top_k", *shapes), torch.int32)}
        for field in fields(self):
            found: torch.Tensor = getattr(self, field.name)
            kind, shape = types.get(field.name, torch.float32), shapes.get(field.name, (num_slots,))
            if found.dtype != kind or found.shape != shape or not found.is_contiguous():
                raise ValueError(
                    f"{field.name}, got {found.dtype} {tuple(found.shape)}, expected contiguous {kind} {list(shape)}"
                )

    @property
    def num_slots(self) -> int:
        return self.output_counts.shape[0]

    @property
    def vocab_size(self) -> int:
        return self.output_counts.shape[1]


def neutral_table(num_slots: int, vocab_size: int, device: torch.device | str = "cpu") -> SamplingTable:
    """Return a table of slots that draw from the whole softmax with seed 0."""

    def filled(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.full((num_slots,), value, dtype=dtype, device=device)

    num_words = -(-vocab_size // WORD_BITS)
    return SamplingTable(
        temperature=filled(1),
        top_k=filled(0, torch.int32),
        top_p=filled(1),
        min_p=filled(0),
        repetition_penalty=filled(1),
        presence_penalty=filled(0),
        frequency_penalty=filled(0),
        seed=filled(0, torch.int64),
        prompt_tokens=torch.zeros(num_slots, num_words, dtype=torch.int32, device=device),
        output_counts=torch.zeros(num_slots, vocab_size, dtype=torch.int32, device=device),
    )
