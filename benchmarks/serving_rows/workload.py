"""What is asked: random prompts, and which adapter each request takes (Punica, section 7: popularities)."""

import random
from dataclasses import dataclass

SHAPES = {
    # layers, hidden, intermediate, heads, KV heads, vocabulary
    "7b": (32, 4096, 11008, 32, 32, 32000),
    "8b": (32, 4096, 14336, 32, 8, 128256),
    "tiny": (2, 512, 1024, 8, 4, 1000),
}
POPULARITIES = ("none", "identical", "uniform", "skewed", "distinct")
# A Zipf law: an adapter is asked for 1.5 times as often as the next.
ZIPF = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests that all come at once, of which `num_rows` run at a time; greedy, ends ignored."""

    num_requests: int
    prompt_len: int
    output_len: int
    num_rows: int

    def prompts(self, vocab_size: int) -> list[list[int]]:
        draw = random.Random(0)
        return [[draw.randrange(10, vocab_size) for _ in range(self.prompt_len)] for _ in range(self.num_requests)]

    def adapters(self, popularity: str) -> list[int | None]:
        """Return the number of each request's adapter; those that run together are as Punica has them."""
        draw = random.Random(0)
        if popularity == "none":
            return [None] * self.num_requests
        num_adapters = {"identical": 1, "uniform": round(self.num_rows**0.5)}.get(popularity, self.num_rows)
        if popularity == "skewed":
            weights = [ZIPF**-number for number in range(num_adapters)]
            return [*draw.choices(range(num_adapters), weights, k=self.num_requests)]
        return [number % num_adapters for number in range(self.num_requests)]
