"""The content that certificates of every format have: what the measurement depends on."""

import json
from typing import Annotated

from pydantic import Field

from ...specs.files.yaml_file import Row
from ...specs.task import Split
from .signature import Signature

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BaseDigests(Row):
    """The base model: its name (a path, a hub id or `embedded`), and digests of its weights and its tokenizer."""

    name: str
    digest: Digest
    tokenizer_digest: Digest


class CertifiedSampling(Row):
    """How the answers were sampled: each wording of the splits, repeated, in batches.

    Batch k, from 0 on, has the seed `seed + k`. On a GPU (`cuda`) a model runs in bf16, on a CPU in fp32.
    """

    splits: tuple[Split, ...] = Field(min_length=1)
    samples_per_prompt: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    prompt_style: str
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    constrained: bool
    device: str
    seed: int


class Content(Row):
    """What certificates of every format hold. `adapter` has a digest for each of its files."""

    format: int
    issued: str
    adapter: dict[str, Digest] = Field(min_length=1)
    base: BaseDigests
    task: str
    rulebook: str
    rulebook_digest: Digest
    tasks_digest: Digest
    worlds: dict[str, Digest]
    sampling: CertifiedSampling
    versions: dict[str, str]
    signature: Signature | None = None

    @property
    def signed_bytes(self) -> bytes:
        """What a signature signs: everything but itself as canonical JSON (sorted keys, no spaces, UTF-8)."""
        content = self.model_dump(mode="json", exclude={"signature"})
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
