"""What a run does: every setting of `train`, resolved once, written to `config.json` and never changed afterwards."""

from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from math import inf
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from ...synth.controllers.controller import Ending, Otherwise, Reading
from ...verify.records.requirement import Requirement
from ...verify.records.verdict import Mode
from ...verify.verdicts.settings import Settings
from ...verify.worlds.world import WorldKind


class Algorithm(StrEnum):
    """How an adapter is trained: on preference pairs (DPO) or on the verifier's reward (GRPO)."""

    DPO = "dpo"
    GRPO = "grpo"


class Budget(StrEnum):
    """How much the baselines may spend: a few tries, or the tokens that training sampled."""

    SHORT = "short"
    FULL = "full"


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"{name}: expected more than 0 and finite, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """The adapter (Hu et al., 2021): on all linear layers but the head."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(rank=self.rank, alpha=self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairConfig:
    """Which pairs are made. `margin` is the least difference in compliance (in paper mode: in rules kept).

    `min_chosen` is the least compliance of a chosen response; `shuffle` permutes the verdicts among the responses of a
    task, a control experiment that must not help.
    """

    per_task: int = 48
    margin: float = 0.1
    min_chosen: float = 0.99
    shuffle: bool = False

    def __post_init__(self) -> None:
        _positive(per_task=self.per_task, margin=self.margin)


# What TRL knows by these names; it would say so at the first step only, when all is sampled.
LOSS_TYPES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """DPO (Rafailov et al., 2023) with TRL. `loss_type` and `loss_weights` go to TRL as they are.

    `learning_rate` is None for the default of the model's size. `batch_size` is in pairs.
    """

    learning_rate: float | None = None
    beta: float = 0.4
    loss_type: tuple[str, ...] = ("sigmoid", "sft")
    loss_weights: tuple[float, ...] = (1.0, 64.0)
    epochs: float = 2.0
    batch_size: int = 16
    max_length: int = 1024
    save_steps: int = 10

    def __post_init__(self) -> None:
        _positive(beta=self.beta, epochs=self.epochs, batch_size=self.batch_size, save_steps=self.save_steps)
        if self.learning_rate is not None:
            _positive(learning_rate=self.learning_rate)
        unknown = [name for name in self.loss_type if name not in LOSS_TYPES]
        if unknown:
            raise ValueError(f"loss_type: expected one of {', '.join(LOSS_TYPES)}, got {unknown[0]!r}")
        for weight in self.loss_weights:
            _positive(loss_weights=weight)
        if len(self.loss_type) != len(self.loss_weights):
            raise ValueError(
                f"loss_weights: expected one for each of the losses {', '.join(self.loss_type)}, "
                f"got {len(self.loss_weights)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoConfig:
    """GRPO (Shao et al., 2024) with TRL: `batch_size` answers a step, of which `group_size` to one prompt."""

    num_steps: int = 60
    group_size: int = 8
    batch_size: int = 64
    beta: float = 0.02

    def __post_init__(self) -> None:
        _positive(num_steps=self.num_steps, group_size=self.group_size, batch_size=self.batch_size)
        if self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size: expected a multiple of group_size ({self.group_size}), got {self.batch_size}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """How many responses are sampled to each prompt, before and after: train prompts, and validation and test ones.

    `num_tries` is what the short baselines may sample for each validation prompt.

    `drive_episodes` is for each controller that is driven, one before and one after for each task, within
    `drive_seconds` in all; 0 leaves the simulator out. Episodes that show up to `num_replays`
    violations are looked for besides.
    """

    train: int = 2
    held_out: int = 5
    num_tries: int = 4
    drive_episodes: int = 20
    drive_seconds: float = 110.0
    num_replays: int = 3

    def __post_init__(self) -> None:
        _positive(train=self.train, held_out=self.held_out, num_tries=self.num_tries)
        if not 0 <= self.drive_seconds < inf:
            raise ValueError(f"drive_seconds: expected 0 or more and finite, got {self.drive_seconds}")
        if self.num_tries > self.held_out:
            raise ValueError(
                f"num_tries: expected at most {self.held_out}, the responses to a held-out prompt, got {self.num_tries}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All settings of a run. `model` is None for the embedded one; `samples` counts responses to each train prompt.

    `keep_worse` keeps an adapter that is not better than the base model, for experiments. `num_processes` verify and
    drive; `num_threads` compute on a CPU, where results depend on their number.
    """

    task: str
    specs: str
    rulebook: str
    model: str | None = None
    world: WorldKind = WorldKind.SIMULATED
    mode: Mode = Mode.GATED
    ending: Ending = Ending.PATROL
    otherwise: Otherwise = Otherwise.STAY
    seed: int = 0
    device: str = "cpu"
    samples: int = 32
    temperature: float = 1.0
    top_p: float = 0.99
    max_new_tokens: int = 200
    constrained: bool = False
    batch_size: int = 135
    rounds: int = 2
    algorithm: Algorithm = Algorithm.DPO
    require: tuple[Requirement, ...] = ()
    keep_worse: bool = False
    baselines: Budget = Budget.SHORT
    num_processes: int = 2
    num_threads: int = 1
    pairs: PairConfig = field(default_factory=PairConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        _positive(samples=self.samples, temperature=self.temperature, max_new_tokens=self.max_new_tokens)
        _positive(batch_size=self.batch_size, rounds=self.rounds, num_processes=self.num_processes)
        _positive(num_threads=self.num_threads)
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected more than 0 up to 1, got {self.top_p}")
        # What the verifier would refuse once it is made.
        _ = self.settings

    @property
    def settings(self) -> Settings:
        """What decides verdicts; witnesses are left out where only the outcome counts."""
        reading = Reading(ending=self.ending, otherwise=self.otherwise)
        return Settings.of(self.mode, world=self.world, reading=reading, witnesses=False)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the settings among the entries of a `config.json`; raises ValueError if one is missing or is none."""
        missing = [entry.name for entry in fields(cls) if entry.name not in content]
        if missing:
            raise ValueError(f"expected the setting {missing[0]}, got none")
        settings = {entry.name: content[entry.name] for entry in fields(cls)}
        try:
            return TypeAdapter(cls).validate_python(settings)
        except ValidationError as error:
            first = error.errors()[0]
            parts = (".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))
            raise ValueError(": ".join(filter(None, parts))) from None
