"""The language models of a run: the base model, alone or with an adapter."""

from pathlib import Path

from ...serving.engine.generator import Generator
from ...specs.domain import Domain
from ...synth.models.generates import Sampling
from ...synth.models.prompt import Prompter
from .config import TrainConfig


class Models:
    """Loads the base model when it is first needed, and adapters beside it."""

    def __init__(self, config: TrainConfig, domain: Domain) -> None:
        self._config = config
        self._domain = domain
        self._generator: Generator | None = None
        self._prompter: Prompter | None = None

    def generator(self, adapter: Path | None = None) -> Generator:
        """Return the base model, with an adapter if one is given."""
        if self._generator is None:
            self._generator = Generator(
                self._config.model, device=self._config.device, vocabulary=self._domain.vocabulary
            )
        return self._generator if adapter is None else self._generator.with_adapter(adapter)

    def prompter(self) -> Prompter:
        """Return how the base model is asked."""
        if self._prompter is None:
            self._prompter = Prompter(self._domain, self.generator().prompt_style, self._config.settings.reading)
        return self._prompter

    def release(self) -> None:
        """Let go of the model in use."""
        self._generator = None

    @property
    def sampling(self) -> Sampling:
        config = self._config
        return Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            constrained=config.constrained,
        )
