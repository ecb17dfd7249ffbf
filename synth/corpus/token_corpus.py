"""A corpus as tokens: what pretraining reads, and a file to keep it in."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from ...specs.files.atomic import replacing
from ...specs.files.errors import InputError
from .corpus import Draw
from .tokenizer_training import ASSISTANT, conversation_text


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCorpus:
    """Sequences one after the other: number i is `tokens[starts[i]:starts[i + 1]]`, its answer begins at `answers[i]`.

    Shapes: tokens `[num_tokens]` uint16, starts `[num_sequences + 1]` int64, answers `[num_sequences]` int32.
    """

    tokens: npt.NDArray[np.uint16]
    starts: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.starts)

    def save(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the file, with a note of what it was made from; it is complete or does not appear."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, tokens=self.tokens, starts=self.starts, answers=self.answers, origin=json.dumps(origin))

    @classmethod
    def load(cls, path: Path, origin: dict[str, Any]) -> "TokenCorpus":
        """Return the corpus of a file; raises InputError if it was made from something else."""
        with np.load(path, allow_pickle=False) as file:
            found = json.loads(str(file["origin"]))
            if found != origin:
                differing = sorted(key for key in {*found, *origin} if found.get(key) != origin.get(key))
                raise InputError(path, f"made from another {', '.join(differing)}: expected to be told another file")
            return cls(tokens=file["tokens"], starts=file["starts"], answers=file["answers"])


def encode(draws: Iterable[Draw], tokenizer: PreTrainedTokenizerFast) -> TokenCorpus:
    """Return draws as tokens."""
    assistant: Any = tokenizer.convert_tokens_to_ids(ASSISTANT)
    backend = tokenizer.backend_tokenizer
    rows = [backend.encode(conversation_text(draw.turns)).ids for draw in draws]
    answers = [len(row) - row[::-1].index(assistant) for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return TokenCorpus(
        tokens=np.fromiter((token for row in rows for token in row), dtype=np.uint16),
        starts=starts.astype(np.int64),
        answers=np.array(answers, dtype=np.int32),
    )


def concatenate(parts: Sequence[TokenCorpus]) -> TokenCorpus:
    """Return several corpora as one, in their order."""
    lengths = np.concatenate([part.lengths for part in parts])
    return TokenCorpus(
        tokens=np.concatenate([part.tokens for part in parts]),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        answers=np.concatenate([part.answers for part in parts]),
    )
