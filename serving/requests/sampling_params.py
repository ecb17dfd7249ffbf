"""What a request asks of its tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LOGPROBS = 20
# What is added to logits or multiplied with them stays a number in fp32.
LARGEST, SMALLEST_FACTOR = 1e30, 1e-30
MAX_TOP_K = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are chosen, and when a sequence ends. The names are those of OpenAI and vLLM.

    temperature   0 takes the likeliest
    top_k         0 for all
    seed          with the token's position it decides the draw; candidate i of `n` draws from a stream of its own
    logit_bias    added to the logits of some tokens
    banned_ids    tokens that never come
    min_tokens    no end before so many tokens
    ignore_eos    the model's own end does not end the sequence; that of a grammar does
    stop          strings that end it; `stop_token_ids` are tokens that do
    logprobs      how many alternatives each token's log-probabilities come with; None for no log-probabilities
    forced_ids    tokens that are taken whatever the draw is, for echo, perplexity and replay
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    banned_ids: frozenset[int] = frozenset()
    max_tokens: int = 16
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    seed: int = 0
    n: int = 1
    logprobs: int | None = None
    prompt_logprobs: bool = False
    forced_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._require("temperature", 0 <= self.temperature <= LARGEST, f"a number from 0 up to {LARGEST}")
        self._require("top_k", 0 <= self.top_k <= MAX_TOP_K, f"0 for all, or up to {MAX_TOP_K}")
        self._require("top_p", 0 < self.top_p <= 1, "a number over 0 up to 1")
        self._require("min_p", 0 <= self.min_p <= 1, "a number from 0 to 1")
        is_factor = SMALLEST_FACTOR <= self.repetition_penalty <= LARGEST
        self._require("repetition_penalty", is_factor, f"a number over 0, from {SMALLEST_FACTOR} to {LARGEST}")
        for name in ("presence_penalty", "frequency_penalty"):
            self._require(name, abs(getattr(self, name)) <= LARGEST, f"a number from {-LARGEST} to {LARGEST}")
        is_bias = all(abs(bias) <= LARGEST for bias in self.logit_bias.values())
        self._require("logit_bias", is_bias, f"numbers from {-LARGEST} to {LARGEST}")
        self._require("max_tokens", self.max_tokens >= 1, "at least 1")
        self._require("min_tokens", 0 <= self.min_tokens <= self.max_tokens, f"0 to max_tokens {self.max_tokens}")
        self._require("stop", all(self.stop), "strings that are not empty")
        self._require("n", self.n >= 1, "at least 1")
        self._require(
            "logprobs", self.logprobs is None or 0 <= self.logprobs <= MAX_LOGPROBS, f"0 to {MAX_LOGPROBS}, or none"
        )
        self._require("seed", -(2**63) <= self.seed < 2**63, "a number of 64 bits")

    def _require(self, name: str, is_met: bool, expected: str) -> None:
        if not is_met:
            raise ValueError(f"{name}, got {getattr(self, name)!r}, expected {expected}")

    @property
    def is_filtered(self) -> bool:
        """Whether some tokens are left out of the draw, or penalised."""
        return (
            self.top_k > 0
            or self.top_p < 1
            or self.min_p > 0
            or self.repetition_penalty != 1
            or self.presence_penalty != 0
            or self.frequency_penalty != 0
        )
