import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from verilora.serving.engine.generator import Generator
from verilora.serving.models.decoder import Decoder
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.synth.models.generates import Completion, Sampling
from verilora.synth.models.model_files import model_digest, tokenizer_digest
from verilora.synth.models.prompt import Conversation, PromptStyle

from tiny_models import END, PAD, base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

SHORT = Sampling(max_new_tokens=12)
GREEDY = Sampling(temperature=0, max_new_tokens=12)


def decoder_of(generator: Generator) -> Decoder:
    return generator.engine._decoder  # the weights that it computes with


def ask(*contents: str) -> list[Conversation]:
    return [({"role": "user", "content": content},) for content in contents]


QUESTIONS = ask("Turn left", "Turn right at the traffic light, and mind the car from the left", "Go")


def greedy_reference(folder: Path, model: torch.nn.Module, conversation: Conversation, num_tokens: int) -> list[int]:
    """Return the likeliest continuation, computed without a cache, a batch or padding."""
    generator = Generator(folder)
    ids = generator.chat.tokenizer(generator.chat.render(conversation), add_special_tokens=False)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + num_tokens and generator.chat.tokenizer.eos_token_id not in ids[start:]:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[start:]


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("chat", [True, False])
def test_a_batch_gives_what_each_prompt_gives_alone_without_a_cache(
    tmp_path: Path, texts: list[str], model_type: str, chat: bool
) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts, chat=chat), model_type)
    generator = Generator(folder)
    completions = generator.sample(QUESTIONS, GREEDY, 0)
    for conversation, completion in zip(QUESTIONS, completions, strict=True):
        expected = greedy_reference(folder, base_model(folder), conversation, 12)
        assert completion.text == generator.chat.tokenizer.decode(expected, skip_special_tokens=True).strip()
        assert completion.num_tokens == len(expected)


def test_the_same_seed_gives_the_same_text_and_leaves_the_global_state_alone(chat_model: Path) -> None:
    generator = Generator(chat_model)
    state = torch.random.get_rng_state()
    first = generator.sample(QUESTIONS, SHORT, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    assert generator.sample(QUESTIONS, SHORT, 3) == first
    assert Generator(chat_model).sample(QUESTIONS, SHORT, 3) == first
    assert generator.sample(QUESTIONS, SHORT, 4) != first


def test_tokens_come_as_often_as_the_model_says(chat_model: Path) -> None:
    generator = Generator(chat_model)
    ids = generator.chat.tokenizer(generator.chat.render(QUESTIONS[0]), add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = base_model(chat_model)(input_ids=torch.tensor([ids])).logits[0, -1]
    logits[generator.chat.tokenizer.pad_token_id] = -torch.inf
    # Cold enough that the likeliest first tokens come often.
    probabilities = torch.softmax(logits / 0.1, 0)
    sampling = Sampling(temperature=0.1, max_new_tokens=1)
    completions = generator.sample(QUESTIONS[:1] * 4000, sampling, 0)
    for token in probabilities.topk(3).indices.tolist():
        text = generator.chat.tokenizer.decode([token], skip_special_tokens=True).strip()
        share = sum(completion.text == text for completion in completions) / 4000
        same_text = [
            other
            for other in range(len(probabilities))
            if generator.chat.tokenizer.decode([other], skip_special_tokens=True).strip() == text
        ]
        # Four standard deviations.
        assert abs(share - float(probabilities[same_text].sum())) < 4 * (0.25 / 4000) ** 0.5


def test_a_small_nucleus_holds_the_likeliest_token_alone(chat_model: Path) -> None:
    generator = Generator(chat_model)
    narrow = Sampling(top_p=1e-6, max_new_tokens=12)
    assert generator.sample(QUESTIONS, narrow, 0) == generator.sample(QUESTIONS, GREEDY, 0)


def test_a_response_ends_at_the_end_token_which_counts(tmp_path: Path, texts: list[str]) -> None:
    tokenizer = tiny_tokenizer(texts)
    folder = save_tiny_model(tmp_path / "model", tokenizer)
    generator = Generator(folder)
    free = generator.sample(QUESTIONS, GREEDY, 0)[0]
    produced = greedy_reference(folder, base_model(folder), QUESTIONS[0], 12)
    # Declare the third token to be an end.
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [tokenizer.eos_token_id, produced[2]]}))
    cut = Generator(folder).sample(QUESTIONS, GREEDY, 0)[0]
    assert free.num_tokens == 12
    assert cut.num_tokens == produced.index(produced[2]) + 1


def test_nothing_asked_nothing_sampled(chat_model: Path) -> None:
    assert Generator(chat_model).sample([], SHORT, 0) == []


def test_prompts_with_a_chat_template(chat_model: Path) -> None:
    generator = Generator(chat_model)
    conversation = (*QUESTIONS[0], {"role": "assistant", "content": "1. stop"}, *QUESTIONS[2])
    assert generator.chat.render(conversation) == (
        "<|user|>Turn left<|end|><|assistant|>1. stop<|end|><|user|>Go<|end|><|assistant|>"
    )
    assert generator.prompt_style is PromptStyle.PLAIN
    assert generator.sample(QUESTIONS, SHORT, 0)[0].num_prompt_tokens == len(
        generator.chat.tokenizer("<|user|>Turn left<|end|><|assistant|>")["input_ids"]
    )


def test_prompts_without_a_chat_template_are_plain_text_and_a_token_for_padding_is_added(plain_model: Path) -> None:
    generator = Generator(plain_model)
    conversation = (*QUESTIONS[0], {"role": "assistant", "content": "1. stop"}, *QUESTIONS[2])
    assert generator.chat.render(conversation) == f"Turn left\n\nSteps:\n1. stop{END}\nGo\n\nSteps:\n"
    answered = generator.chat.tokenizer.apply_chat_template(list(conversation[:2]), tokenize=False)
    assert answered == f"Turn left\n\nSteps:\n1. stop{END}"
    assert generator.prompt_style is PromptStyle.FULL
    assert generator.chat.tokenizer.pad_token == PAD
    assert generator.chat.tokenizer.pad_token_id != generator.chat.tokenizer.eos_token_id
    first, again = (base_model(plain_model).get_input_embeddings().weight for _ in range(2))
    assert generator.chat.tokenizer.pad_token_id < generator.engine.architecture.vocab_size == len(first)
    assert torch.equal(first, again)
    assert len(generator.sample(QUESTIONS, SHORT, 0)) == 3


def test_a_model_that_can_think_aloud_answers_at_once(tmp_path: Path, texts: list[str]) -> None:
    tokenizer = tiny_tokenizer(texts)
    tokenizer.chat_template += (
        "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}(no thought)"
        "{% endif %}"
    )
    generator = Generator(save_tiny_model(tmp_path, tokenizer, "qwen3"))
    assert generator.chat.render(QUESTIONS[0]) == "<|user|>Turn left<|end|><|assistant|>(no thought)"
    trained_on = generator.chat.tokenizer.apply_chat_template(
        list(QUESTIONS[0]), tokenize=False, add_generation_prompt=True
    )
    assert trained_on == generator.chat.render(QUESTIONS[0])


def test_an_adapter_changes_the_text_as_peft_changes_it(tmp_path: Path, chat_model: Path) -> None:
    base = Generator(chat_model)
    adapter = save_tiny_adapter(tmp_path / "adapter", base_model(chat_model), scale=0.5)
    adapted = Generator(chat_model, adapter=adapter)
    assert adapted.sample(QUESTIONS, GREEDY, 0) != base.sample(QUESTIONS, GREEDY, 0)
    with_peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(chat_model), adapter).eval()
    for conversation, completion in zip(QUESTIONS, adapted.sample(QUESTIONS, GREEDY, 0), strict=True):
        expected = greedy_reference(chat_model, with_peft, conversation, 12)
        assert completion.text == adapted.chat.text(expected)
    assert (adapted.digest, adapted.tokenizer_digest) == (base.digest, base.tokenizer_digest)


@pytest.mark.parametrize("with_embeddings", [True, False])
def test_an_adapter_of_a_model_whose_embeddings_had_to_grow(
    tmp_path: Path, plain_model: Path, with_embeddings: bool
) -> None:
    folder = save_tiny_adapter(tmp_path, base_model(plain_model), scale=0.5, save_embedding_layers=with_embeddings)
    texts = [
        generator.sample(QUESTIONS, GREEDY, 0)
        for generator in (Generator(plain_model, adapter=folder), Generator(plain_model))
    ]
    assert texts[0] != texts[1]


def test_a_token_that_no_text_holds_serves_for_padding(tmp_path: Path, texts: list[str]) -> None:
    for name, spare in (("unk", "<unk>"), ("reserved", "<|reserved_special_token_0|>")):
        tokenizer = tiny_tokenizer(texts, chat=False)
        tokenizer.add_special_tokens({"unk_token": spare} if name == "unk" else {"additional_special_tokens": [spare]})
        generator = Generator(save_tiny_model(tmp_path / name, tokenizer))
        assert generator.chat.tokenizer.pad_token == spare
        assert generator.engine.architecture.vocab_size == len(tokenizer)
        assert len(generator.sample(QUESTIONS, SHORT, 0)) == 3


@pytest.mark.gpu
def test_on_a_gpu_in_bf16(tmp_path: Path, chat_model: Path) -> None:
    folder = save_tiny_adapter(tmp_path, base_model(chat_model), scale=0.5)
    generator = Generator(chat_model, adapter=folder, device="cuda")
    state = torch.cuda.get_rng_state()
    first = generator.sample(QUESTIONS, SHORT, 3)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert generator.sample(QUESTIONS, SHORT, 3) == first
    assert generator.sample(QUESTIONS, SHORT, 4) != first


@pytest.mark.parametrize("constrained", [False, True], ids=["free", "grammar"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite(
    chat_model: Path, driving: Domain, value: float, temperature: float, constrained: bool
) -> None:
    generator = Generator(chat_model, vocabulary=driving.vocabulary)
    # Of the token for padding, which is never chosen: no mask hides it.
    decoder_of(generator).weights.head.weight[:, generator.chat.tokenizer.pad_token_id] = value
    sampling = Sampling(temperature=temperature, constrained=constrained, max_new_tokens=12)
    with pytest.raises(InputError, match=r"cannot be sampled from: logits, got some that are not finite, .* diverged"):
        generator.sample(QUESTIONS, sampling, 0)


def test_logits_are_watched_at_each_token(chat_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(chat_model)
    decoder = decoder_of(generator)
    forward = decoder.forward

    def spoilt(token_ids: torch.Tensor, *others: Any) -> torch.Tensor:
        states = forward(token_ids, *others)
        return states if len(token_ids) > len(QUESTIONS) else states * torch.nan

    # What follows the prompts comes alone.
    monkeypatch.setattr(decoder, "forward", spoilt)
    assert len(generator.sample(QUESTIONS, Sampling(temperature=0, max_new_tokens=1), 0)) == 3
    with pytest.raises(InputError, match="some that are not finite"):
        generator.sample(QUESTIONS, GREEDY, 0)


def test_the_coldest_temperature_takes_the_likeliest(chat_model: Path) -> None:
    generator = Generator(chat_model)
    coldest = Sampling(temperature=5e-324, max_new_tokens=12)
    assert generator.sample(QUESTIONS, coldest, 0) == generator.sample(QUESTIONS, GREEDY, 0)


def test_digests_follow_the_files(tmp_path: Path, chat_model: Path) -> None:
    copy = shutil.copytree(chat_model, tmp_path / "copy")
    generator = Generator(chat_model)
    assert (generator.digest, generator.chat.tokenizer_digest) == (model_digest(copy), tokenizer_digest(copy))
    (copy / "MODEL_CARD.md").write_text("about")
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert model_digest(copy) == generator.digest
    assert tokenizer_digest(copy) != generator.chat.tokenizer_digest
    generation = copy / "generation_config.json"
    settings = json.loads(generation.read_text())
    generation.write_text(json.dumps({**settings, "eos_token_id": [1, 2]}))
    assert model_digest(copy) != generator.digest
    generation.write_bytes((chat_model / "generation_config.json").read_bytes())
    assert model_digest(copy) == generator.digest
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_digest(copy) != generator.digest


def test_a_context_that_is_too_small(tmp_path: Path, texts: list[str]) -> None:
    folder = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts), max_position_embeddings=16)
    generator = Generator(folder)
    (short,) = generator.sample(ask("Go"), Sampling(temperature=0, max_new_tokens=99), 0)
    assert short.num_prompt_tokens + short.num_tokens == 16
    with pytest.raises(ValueError, match="expected fewer than the model's context of 16"):
        generator.sample(QUESTIONS, SHORT, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature: expected a number from 0 up, got -1.0"),
        ({"temperature": float("nan")}, "temperature: expected a number from 0 up, got nan"),
        ({"top_p": 0.0}, "top_p: expected a number over 0 up to 1, got 0.0"),
        ({"max_new_tokens": 0}, "max_new_tokens: expected at least 1, got 0"),
    ],
)
def test_bad_sampling(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)  # type: ignore[arg-type]


def test_a_completion_is_plain_data(chat_model: Path) -> None:
    (completion,) = Generator(chat_model).sample(QUESTIONS[:1], SHORT, 0)
    assert completion == Completion(completion.text, completion.num_prompt_tokens, completion.num_tokens)
    assert completion.text == completion.text.strip()
