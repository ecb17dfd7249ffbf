"""Makes a base model from the corpus of a domain: `python -m verilora.finetune.make_base --help`.

The embedded model and a larger one differ in options only; the same options and seed give the same corpus anywhere.
"""

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ...specs.corpus_description import read_corpus
from ...specs.domain import DEFAULT_RULEBOOK, SHIPPED, Domain, load_domain
from ...specs.files.errors import InputError
from ...synth.corpus.corpus import CHUNK, CorpusGenerator
from ...synth.corpus.pretraining import Architecture, Pretraining, mean_loss, new_model, pretrain
from ...synth.corpus.token_corpus import TokenCorpus
from ...synth.corpus.tokenizer_training import conversation_text, train_tokenizer
from ...verify.commands.terminal import console
from .corpus_workers import cached, critical_generator, draw_tokens

NUM_TOKENIZER_CHUNKS = 10
NUM_HELD_OUT_CHUNKS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a base model as the command line asks; what cannot be used ends with a line and code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        make(options)
    except InputError as error:
        parser.error(str(error))


def make(options: argparse.Namespace) -> None:
    """Make a base model, and write it."""
    # The processes that draw the corpus are forked.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    out = console()
    started = time.monotonic()
    domain = load_domain(options.task, options.specs)
    corpus = read_corpus(domain.folder / "corpus.yaml", domain)
    generator = critical_generator(corpus, domain, domain.rulebook(options.rulebook))
    tokenizer = _tokenizer(generator, options)
    drawn = _tokens(generator, tokenizer, domain, options)
    held_out = draw_tokens(generator, tokenizer, -1 - options.seed, NUM_HELD_OUT_CHUNKS, options.processes)
    out.print(f"corpus: {len(drawn):,} draws, {len(drawn.tokens):,} tokens in {time.monotonic() - started:.0f} s")
    how = _how(options)
    model = new_model(_architecture(options), tokenizer, options.seed)
    out.print(f"model: {model.num_parameters():,} parameters, vocabulary {len(tokenizer)}, on {how.device}")
    training = {"corpus_digest": corpus.digest, **_train(model, drawn, held_out, how, out)}
    _save(options.out, model, tokenizer, {"domain": domain.name, "rulebook": options.rulebook, **training})
    out.print(f"held-out loss {training['held_out_loss']}, {training['tokens_per_second']:,} tokens/s; {options.out}")


def _train(
    model: LlamaForCausalLM, corpus: TokenCorpus, held_out: TokenCorpus, how: Pretraining, out: Console
) -> dict[str, Any]:
    """Train a model and return what there is to know of it."""
    losses: list[tuple[int, float]] = []
    started = time.monotonic()
    pretrain(model, corpus, how, _reporter(out, losses, how.num_tokens))
    seconds = time.monotonic() - started
    seen, loss = losses[-1]
    return {
        "num_parameters": model.num_parameters(),
        "num_draws": len(corpus),
        "corpus_tokens": len(corpus.tokens),
        "pretraining": asdict(how),
        "tokens_seen": seen,
        "tokens_per_second": round(seen / seconds),
        "training_loss": round(loss, 4),
        "held_out_loss": round(mean_loss(model, held_out, how), 4),
        "seconds": round(seconds),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verilora.finetune.make_base", description="Make a base model.")
    add, small = parser.add_argument, Architecture()
    add("--task", default="driving", help="the domain")
    add("--specs", type=Path, default=SHIPPED, help="the folder of domains")
    add("--rulebook", default=DEFAULT_RULEBOOK, help="under which repair turns are told what is wrong")
    add("--out", type=Path, required=True, help="the folder to write")
    add("--tokens", type=_positive, required=True, help="how many tokens to train on, the corpus as often as it takes")
    add("--draws", type=_positive, default=50_000, help="how many draws the corpus has")
    add("--cache", type=Path, help="a file to keep the corpus in, or to take it from")
    add("--processes", type=_positive, default=os.cpu_count() or 1, help="how many processes draw the corpus")
    add("--seed", type=int, default=0)
    add("--device", default="cpu")
    add("--vocabulary", type=int, default=1024, help="the most tokens that the tokenizer may have")
    add("--hidden", type=int, default=small.hidden)
    add("--layers", type=int, default=small.layers)
    add("--heads", type=int, default=small.heads)
    add("--learning-rate", type=float, default=3e-3)
    add("--batch-tokens", type=_positive, help="default: 8192 on a CPU, 65536 elsewhere")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def _tokenizer(generator: CorpusGenerator, options: argparse.Namespace) -> PreTrainedTokenizerFast:
    draws = (draw for number in range(NUM_TOKENIZER_CHUNKS) for draw in generator.chunk(options.seed, number))
    return train_tokenizer((conversation_text(draw.turns) for draw in draws), options.vocabulary)


def _tokens(
    generator: CorpusGenerator, tokenizer: PreTrainedTokenizerFast, domain: Domain, options: argparse.Namespace
) -> TokenCorpus:
    num_chunks = -(-options.draws // CHUNK)
    rulebook = domain.rulebook(options.rulebook)
    # Repair turns tell verdicts, which come from the learned worlds, and rules in English.
    files = [*domain.folder.glob("*.yaml"), *domain.folder.glob("worlds/*.json")]
    origin = {
        "domain": {path.name: _digest(path) for path in sorted(files)},
        "rulebook": [rulebook.digest, rulebook.sentences_digest],
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        "seed": options.seed,
        "num_chunks": num_chunks,
    }
    return cached(
        options.cache, origin, lambda: draw_tokens(generator, tokenizer, options.seed, num_chunks, options.processes)
    )


def _architecture(options: argparse.Namespace) -> Architecture:
    # As wide as a Llama's, in multiples of 64.
    intermediate = 64 * round(options.hidden * 3 / 64)
    return Architecture(hidden=options.hidden, layers=options.layers, heads=options.heads, intermediate=intermediate)


def _how(options: argparse.Namespace) -> Pretraining:
    on_cpu = torch.device(options.device).type == "cpu"
    return Pretraining(
        num_tokens=options.tokens,
        batch_tokens=options.batch_tokens or (8192 if on_cpu else 65_536),
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
    )


def _reporter(out: Console, losses: list[tuple[int, float]], num_tokens: int) -> Callable[[int, float], None]:
    started = time.monotonic()

    def report(seen: int, loss: float) -> None:
        losses.append((seen, loss))
        seconds = time.monotonic() - started
        out.print(f"{seen / num_tokens:4.0%}  {seen:,} tokens  loss {loss:.4f}  {seen / seconds:,.0f} tokens/s")

    return report


def _save(out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, summary: dict[str, Any]) -> None:
    """Write the model in bf16, the tokenizer and what is known of the training."""
    module: nn.Module = model
    module.to("cpu", torch.bfloat16)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for weights in out.glob("*.safetensors"):
        # Written for the owner alone, but a wheel is for everybody.
        weights.chmod(0o644)
    (out / "pretraining.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
