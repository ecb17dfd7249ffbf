"""Base models made from a corpus through the command line, and the corpus drawn on several processes."""

import json
from pathlib import Path

import numpy as np
import pytest

from verilora.finetune.base.corpus_workers import cached, critical_generator, draw_tokens
from verilora.finetune.make_base import main
from verilora.serving.engine.generator import Generator
from verilora.specs.corpus_description import read_corpus
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.synth.corpus.corpus import CorpusGenerator
from verilora.synth.corpus.token_corpus import TokenCorpus
from verilora.synth.corpus.tokenizer_training import conversation_text, train_tokenizer
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Prompter, PromptStyle

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def generator(greenhouse: Domain) -> CorpusGenerator:
    corpus = read_corpus(greenhouse.folder / "corpus.yaml", greenhouse)
    return critical_generator(corpus, greenhouse, greenhouse.rulebook())


def test_repair_turns_tell_what_the_verifier_found(generator: CorpusGenerator) -> None:
    told = [draw.turns[1][0] for draw in generator.chunk(0, 0, 400) if len(draw.turns) == 2]
    assert len(told) > 20
    assert all(text.endswith("Write the steps again.") for text in told)
    starts = ("This breaks the rule: ", "This does not reach its goal.", "This cannot be read: ")
    assert {start for start in starts for text in told if text.startswith(start)} == set(starts)
    assert all(" Counterexample: " in text for text in told if text.startswith("This breaks the rule: "))


@pytest.mark.parametrize("num_processes", [2, 5])
def test_the_corpus_is_the_same_on_any_number_of_processes(generator: CorpusGenerator, num_processes: int) -> None:
    tokenizer = train_tokenizer((conversation_text(draw.turns) for draw in generator.chunk(0, 0, 300)), 400)
    alone = draw_tokens(generator, tokenizer, seed=4, num_chunks=3, num_processes=1)
    together = draw_tokens(generator, tokenizer, seed=4, num_chunks=3, num_processes=num_processes)
    assert len(alone) == 3000
    assert np.array_equal(alone.tokens, together.tokens)
    assert np.array_equal(alone.starts, together.starts)
    assert np.array_equal(alone.answers, together.answers)


def test_a_corpus_that_was_kept_is_not_drawn_again(tmp_path: Path) -> None:
    corpus = TokenCorpus(
        tokens=np.array([1, 2, 3], np.uint16), starts=np.array([0, 3], np.int64), answers=np.array([1], np.int32)
    )
    drawn = []

    def draw() -> TokenCorpus:
        drawn.append(1)
        return corpus

    for _ in range(2):
        assert cached(tmp_path / "corpus.npz", {"seed": 1}, draw).tokens.tolist() == [1, 2, 3]
    assert len(drawn) == 1
    cached(None, {"seed": 1}, draw)
    assert len(drawn) == 2
    with pytest.raises(InputError, match=r"corpus\.npz: made from another seed"):
        cached(tmp_path / "corpus.npz", {"seed": 2}, draw)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.npz"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens", "0"], "argument --tokens: expected at least 1, got 0"),
        (["--tokens", "9", "--processes", "0"], "argument --processes: expected at least 1, got 0"),
        (["--tokens", "9", "--specs", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_used_is_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path), *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_same_options_make_the_same_model(tmp_path: Path, greenhouse: Domain) -> None:
    options = ["--task", "greenhouse", "--specs", str(DATA), "--tokens", "20000", "--draws", "2000", "--seed", "5"]
    shape = ["--hidden", "32", "--layers", "1", "--heads", "1", "--vocabulary", "400", "--batch-tokens", "2048"]
    for name, processes in (("first", "1"), ("second", "2")):
        main([*options, *shape, "--out", str(tmp_path / name), "--processes", processes])
    files = {path.name for path in (tmp_path / "first").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "pretraining.json"} <= files
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    summary = json.loads((tmp_path / "first" / "pretraining.json").read_text())
    assert summary["corpus_digest"] == read_corpus(greenhouse.folder / "corpus.yaml", greenhouse).digest
    assert summary["num_draws"] == 2000
    assert 20_000 <= summary["tokens_seen"] < 20_000 + 2048
    made = Generator(tmp_path / "first")
    assert made.prompt_style is PromptStyle.PLAIN
    prompt = Prompter(greenhouse, made.prompt_style).ask("Warm the glasshouse")
    [completion] = made.sample([prompt], Sampling(max_new_tokens=8), seed=0)
    assert 1 <= completion.num_tokens <= 8
