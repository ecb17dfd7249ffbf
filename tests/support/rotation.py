"""Many adapters of one server that take turns, and what each version of them answers alone."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile

import torch
from safetensors.torch import load_file, save_file

from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.schedule.settings import EngineSettings

from damaged_adapters import CONFIG, WEIGHTS
from servers import Served, events

LOAD = "/v1/load_lora_adapter"
PROMPT = "1. observe"
NUM_TOKENS = 12
GREEDY = {"prompt": PROMPT, "temperature": 0, "max_tokens": NUM_TOKENS, "ignore_eos": True}


def reseeded(adapter: Path, folder: Path, seed: int) -> Path:
    """Copy an adapter into a folder with other random weights, far enough from all others to answer differently."""
    folder.mkdir(parents=True)
    noise = torch.Generator().manual_seed(seed)
    tensors = {
        name: 0.5 * torch.randn(tensor.shape, generator=noise) if "lora_B" in name else tensor
        for name, tensor in load_file(adapter / WEIGHTS).items()
    }
    save_file(tensors, folder / WEIGHTS)
    copyfile(adapter / CONFIG, folder / CONFIG)
    return folder


class Alone:
    """What the model answers with the adapter of a folder, or with none, in an engine that keeps nothing."""

    def __init__(self) -> None:
        self._generator = Generator(settings=EngineSettings(caches_prefixes=False))
        self._known: dict[Path | None, str] = {}
        chat = self._generator.chat
        self._prompt = tuple(chat.tokenizer(PROMPT, add_special_tokens=False)["input_ids"])
        self._params = SamplingParams(temperature=0, max_tokens=NUM_TOKENS, ignore_eos=True, banned_ids=chat.banned_ids)

    def answer(self, folder: Path | None) -> str:
        """Return the text that stands behind the prompt."""
        if folder not in self._known:
            engine = self._generator.engine
            if folder is not None:
                engine.add_adapter("alone", folder)
            name = None if folder is None else "alone"
            ((output,),) = engine.generate([Request(prompt=self._prompt, params=self._params, adapter=name)])
            text: str = self._generator.chat.tokenizer.decode(output.token_ids, skip_special_tokens=True)
            self._known[folder] = text
        return self._known[folder]


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a name: when it was asked for, and when the server said that it is there."""

    folder: Path
    asked_at: float
    there_at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a stream said for a name, None for the base model, and when it was sent and had begun."""

    name: str | None
    sent_at: float
    begun_at: float
    text: str


@dataclass(slots=True)
class Rotation:
    """Streams that ask for names in turn while these are updated in place."""

    served: Served
    adapter: Path
    root: Path
    versions: dict[str, list[Version]] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    seeds: "itertools.count[int]" = field(default_factory=itertools.count)

    def update(self, name: str) -> None:
        """Give a name another content."""
        seed = next(self.seeds)
        folder = reseeded(self.adapter, self.root / f"{name}-{seed}", seed)
        asked_at = time.monotonic()
        body = {"lora_name": name, "lora_path": folder.name, "load_inplace": True}
        status, error = self.served.ask("POST", LOAD, body)
        assert status == 200, error
        self.versions.setdefault(name, []).append(Version(folder, asked_at, time.monotonic()))

    def ask(self, name: str | None) -> Answered:
        """Let a stream answer, and return and keep what it said."""
        sent_at = time.monotonic()
        response = self.served.open("POST", "/v1/completions", {**GREEDY, "model": name or "base", "stream": True})
        begun_at = time.monotonic()
        raw = response.read()
        assert response.status == 200, raw
        text = "".join(chunk["choices"][0]["text"] for chunk in events(raw))
        answered = Answered(name, sent_at, begun_at, text)
        self.answered.append(answered)
        return answered

    def run(self, names: list[str | None], *, num_streams: int, updates: list[str]) -> None:
        """Ask for all names in so many streams, and update some of them meanwhile, spread over the whole time."""
        total = len(self.answered) + len(names)
        failed = threading.Event()

        def update_all() -> None:
            before = len(self.answered)
            for number, name in enumerate(updates):
                while len(self.answered) - before < number * len(names) // len(updates) and not failed.is_set():
                    time.sleep(0.001)
                self.update(name)

        with ThreadPoolExecutor(num_streams) as pool, ThreadPoolExecutor(1) as updater:
            updating = updater.submit(update_all)
            try:
                for _ in pool.map(self.ask, names):
                    pass
            except BaseException:
                failed.set()
                raise
            updating.result()
        assert len(self.answered) == total

    def may_be(self, answered: Answered) -> list[Path | None]:
        """Return the contents that a stream may have begun with: its name stood for them while it was let in."""
        if answered.name is None:
            return [None]
        versions = self.versions[answered.name]
        following = [*versions[1:], None]
        return [
            version.folder
            for version, later in zip(versions, following, strict=True)
            if version.asked_at < answered.begun_at and (later is None or answered.sent_at < later.there_at)
        ]

    def wrong(self, alone: Alone) -> list[Answered]:
        """Return the streams that said what no content says that they may have begun with."""
        return [one for one in self.answered if one.text not in map(alone.answer, self.may_be(one))]
