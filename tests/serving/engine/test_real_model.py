"""The engine with a real model, SmolLM2-135M-Instruct; where it cannot be had, these tests fail."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.specs.domain import Domain
from verilora.synth.models.chat import Chat
from verilora.synth.models.generates import Sampling
from verilora.synth.models.prompt import Conversation

pytestmark = pytest.mark.slow
NUM_PROMPTS, NUM_TOKENS = 50, 24
GENERAL = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "Who wrote Romeo and Juliet?",
    "How many days are in a week?",
    "What is 12 times 3?",
    "Name three fruits.",
    "What is photosynthesis?",
    "Write a short poem about the sea.",
    "Translate 'good morning' into Spanish.",
    "What is the largest planet in the solar system?",
    "Explain gravity to a child.",
    "List the primary colors.",
    "What does a compiler do?",
    "Give me a recipe for pancakes.",
    "Why is the sky blue?",
    "What is the boiling point of water?",
    "Who painted the Mona Lisa?",
    "What is the opposite of hot?",
    "Write a Python function that adds two numbers.",
    "Tell me a joke.",
)


def asked(*contents: str) -> list[Conversation]:
    return [({"role": "user", "content": content},) for content in contents]


@pytest.fixture(scope="module")
def generator(smollm2: Path) -> Generator:
    return Generator(smollm2)


@pytest.fixture(scope="module")
def prompts(driving: Domain, generator: Generator) -> list[tuple[int, ...]]:
    wordings = dict.fromkeys(
        wording for task in driving.tasks.values() for split in task.wordings.values() for wording in split
    )
    found = [*GENERAL, *wordings][:NUM_PROMPTS]
    assert len(found) == NUM_PROMPTS
    return [tuple(prompt) for prompt in generator.chat.encode(asked(*found))]


def test_it_knows_a_capital(generator: Generator) -> None:
    (answer,) = generator.sample(asked(GENERAL[0]), Sampling(temperature=0, max_new_tokens=NUM_TOKENS), 0)
    assert answer.text == "The capital of France is Paris."


def test_greedy_tokens_are_those_of_transformers(
    smollm2: Path, generator: Generator, prompts: list[tuple[int, ...]]
) -> None:
    ours = engine_tokens(generator, prompts)
    theirs = transformers_tokens(smollm2, generator.chat, prompts)
    differing = [number for number, tokens in enumerate(ours) if tokens != theirs[number]]
    assert differing == [], f"{len(differing)} of {len(prompts)} answers differ"
    assert {len(tokens) for tokens in ours} > {NUM_TOKENS}, "some answers end before the limit, some at it"


def engine_tokens(generator: Generator, prompts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    params = SamplingParams(temperature=0, max_tokens=NUM_TOKENS, banned_ids=generator.chat.banned_ids)
    outputs = generator.engine.generate([Request(prompt=prompt, params=params) for prompt in prompts])
    assert all(output.finish in (Finish.STOP, Finish.LENGTH) for (output,) in outputs)
    return [output.token_ids for (output,) in outputs]


def transformers_tokens(folder: Path, chat: Chat, prompts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the greedy tokens of each prompt; all go together, filled up on the left."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    batch = chat.tokenizer.pad({"input_ids": [list(prompt) for prompt in prompts]}, return_tensors="pt")
    generated = model.generate(
        **batch, do_sample=False, max_new_tokens=NUM_TOKENS, suppress_tokens=sorted(chat.banned_ids)
    )
    return [until_end(row.tolist(), chat) for row in generated[:, batch["input_ids"].shape[1] :]]


def until_end(tokens: list[int], chat: Chat) -> tuple[int, ...]:
    end = next((place for place, token in enumerate(tokens, start=1) if token in chat.end_ids), len(tokens))
    return tuple(tokens[:end])
