"""The engine as those who ask a language model know it: conversations in, responses out."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...specs.files.errors import InputError
from ...specs.vocabulary import Vocabulary
from ...synth.models.chat import Chat
from ...synth.models.generates import Completion, Sampling
from ...synth.models.language_model import load_model
from ...synth.models.prompt import Conversation, PromptStyle
from ..models.architecture import architecture_of
from ..models.decoder import Decoder
from ..models.weights import weights_of
from ..requests.request import Finish, Output, Request
from ..requests.sampling_params import SamplingParams
from ..schedule.settings import EngineSettings
from .engine import Engine, stream_seed

if TYPE_CHECKING:
    from ...synth.models.constrained import StepCompiler


class Generator:
    """A language model in an engine: the embedded one (None), a folder, a GGUF file, or one of the hub.

    Runs in bf16 on a GPU and in fp32 on a CPU; an adapter is served as it is, not merged. `vocabulary` is needed for
    constrained sampling only. Raises InputError for what cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapter: Path | None = None,
        device: str = "cpu",
        vocabulary: Vocabulary | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        self.chat = Chat(model)
        self.vocabulary = vocabulary
        self.engine = load_engine(self.chat, device, settings)
        self.adapter: Path | None = None
        if adapter is not None:
            self._register(adapter)

    @property
    def folder(self) -> Path:
        """Where the base model's files are: a folder, or a GGUF file."""
        return self.chat.folder

    @property
    def prompt_style(self) -> PromptStyle:
        """How the model is asked."""
        return self.chat.prompt_style

    @property
    def digest(self) -> str:
        """SHA-256 over the base model's weights and configuration."""
        return self.chat.digest

    @property
    def tokenizer_digest(self) -> str:
        """SHA-256 over the tokenizer's files."""
        return self.chat.tokenizer_digest

    def with_adapter(self, adapter: Path) -> "Generator":
        """Return this model with an adapter; the two share one engine. Raises InputError."""
        adapted = copy(self)
        adapted._register(adapter)
        return adapted

    def sample(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[Completion]:
        """Return one response to each conversation, in order.

        The same conversations, sampling and seed give the same responses on one machine; no global state is touched.
        """
        return next(self.sample_batches([conversations], sampling, [seed]))

    def sample_batches(
        self, batches: Sequence[Sequence[Conversation]], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[list[Completion]]:
        """Yield the responses to each batch, in order, as `sample` gives them with its seed; see `Generates`."""
        prompts = [self.chat.encode(batch) for batch in batches]
        requests = [
            self._request(prompt, sampling, stream_seed(seed, row))
            for batch, seed in zip(prompts, seeds, strict=True)
            for row, prompt in enumerate(batch)
        ]
        outputs: dict[int, Output] = {}
        first = 0
        # What is left is cancelled at once when a response cannot be used, or nobody asks for more.
        with closing(self.engine.completed(requests)) as completed:
            for batch in prompts:
                numbers = range(first, first + len(batch))
                while not outputs.keys() >= set(numbers):
                    number, output = next(completed)
                    self._check(output)
                    outputs[number] = output
                yield [self._completion(outputs.pop(number)) for number in numbers]
                first = numbers.stop

    def _register(self, adapter: Path) -> None:
        self.engine.add_adapter(str(adapter), adapter)
        self.adapter = adapter

    def _request(self, prompt: Sequence[int], sampling: Sampling, seed: int) -> Request:
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            banned_ids=self.chat.banned_ids,
            seed=seed,
        )
        return Request(
            prompt=tuple(prompt),
            params=params,
            adapter=None if self.adapter is None else str(self.adapter),
            grammar=self._step_compiler.matcher if sampling.constrained else None,
        )

    def _check(self, output: Output) -> None:
        """Raise InputError for a model that cannot be sampled from, RuntimeError for a fault of the engine."""
        if output.finish is Finish.ERROR and output.error.startswith("logits"):
            message = f"cannot be sampled from: {output.error}; has its training diverged?"
            raise InputError(self.adapter or self.folder, message)
        if output.finish not in (Finish.STOP, Finish.LENGTH):
            raise RuntimeError(output.error or f"a response was {output.finish}")

    def _completion(self, output: Output) -> Completion:
        return Completion(self.chat.text(output.token_ids), output.num_prompt_tokens, len(output.token_ids))

    @cached_property
    def _step_compiler(self) -> "StepCompiler":
        # Imported here, so that machines without xgrammar can sample freely.
        from ...synth.models.constrained import StepCompiler

        if self.vocabulary is None:
            raise ValueError("constrained sampling needs a vocabulary, got a generator that was made without one")
        vocab_size = self.engine.architecture.vocab_size
        return StepCompiler(self.vocabulary, self.chat.tokenizer, vocab_size, self.chat.end_ids)


def load_engine(chat: Chat, device: str, settings: EngineSettings | None = None) -> Engine:
    """Return an engine with a model's weights; raises InputError."""
    return Engine(load_decoder(chat, device), settings, end_ids=chat.end_ids, detokenize=chat.tokenizer.decode)


def load_decoder(chat: Chat, device: str) -> Decoder:
    """Return a model's weights, ready to compute; raises InputError."""
    model = load_model(chat.folder, device, len(chat.tokenizer))
    architecture = architecture_of(model.config, chat.folder)
    return Decoder(architecture, weights_of(model, architecture, torch.device(device)))
