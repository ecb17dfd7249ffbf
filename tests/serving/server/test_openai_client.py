"""What OpenAI's own client gets from a server is what the engine says."""

import openai
import pytest
from openai import OpenAI

from verilora.serving.engine.generator import Generator
from verilora.serving.requests.request import Output, Request
from verilora.serving.requests.sampling_params import SamplingParams

QUESTION = "at the traffic light, turn right"
MESSAGES = [{"role": "user", "content": QUESTION}]
MODELS = pytest.mark.parametrize(("model", "adapter"), [("base", None), ("tenant/one", "tenant/one")])


def answer(generator: Generator, prompt: tuple[int, ...], adapter: str | None = None, **params: object) -> Output:
    known = {"temperature": 0, "max_tokens": 24, "banned_ids": generator.chat.banned_ids, **params}
    request = Request(prompt=prompt, adapter=adapter, params=SamplingParams(**known))
    return generator.engine.generate([request])[0][0]


def conversation(generator: Generator) -> tuple[int, ...]:
    return tuple(generator.chat.encode([tuple(MESSAGES)])[0])


def text_of(generator: Generator, output: Output) -> str:
    return generator.chat.tokenizer.decode(output.token_ids, skip_special_tokens=True)


@MODELS
def test_a_chat_is_answered_as_the_engine_answers(
    client: OpenAI, generator: Generator, model: str, adapter: str | None
) -> None:
    expected = answer(generator, conversation(generator), adapter)
    got = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=24)
    assert got.choices[0].message.content == text_of(generator, expected)
    assert got.choices[0].finish_reason == expected.finish.value
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (
        expected.num_prompt_tokens,
        len(expected.token_ids),
    )
    assert got.model == model


def test_the_adapter_changes_the_answer(generator: Generator) -> None:
    prompt = conversation(generator)
    assert answer(generator, prompt).token_ids != answer(generator, prompt, "tenant/one").token_ids


@MODELS
def test_a_stream_is_the_whole_answer(client: OpenAI, model: str, adapter: str | None) -> None:
    asked = {"model": model, "messages": MESSAGES, "temperature": 0.9, "seed": 5, "max_tokens": 40, "n": 2}
    whole = client.chat.completions.create(**asked)
    texts, reasons = ["", ""], [[], []]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] += [choice.finish_reason] if choice.finish_reason else []
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [[choice.finish_reason] for choice in whole.choices]
    assert texts[0] != texts[1]


def test_the_same_seed_gives_the_same_answer_and_another_another(client: OpenAI) -> None:
    asked = {"model": "base", "messages": MESSAGES, "temperature": 1.5, "max_tokens": 30}
    texts = [client.chat.completions.create(**asked, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_log_probabilities_are_those_of_the_engine(client: OpenAI, generator: Generator) -> None:
    expected = answer(generator, conversation(generator), logprobs=2, max_tokens=6)
    asked = {"model": "base", "messages": MESSAGES, "temperature": 0, "max_tokens": 6}
    got = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    logprobs = got.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert expected.logprobs is not None
    assert [one.logprob for one in logprobs.content] == pytest.approx([one.logprob for one in expected.logprobs])
    assert b"".join(bytes(one.bytes or ()) for one in logprobs.content).decode() == got.choices[0].message.content
    assert [len(one.top_logprobs) for one in logprobs.content] == [2] * 6
    streamed = [
        one
        for chunk in client.chat.completions.create(**asked, logprobs=True, top_logprobs=2, stream=True)
        for choice in chunk.choices
        for one in (choice.logprobs.content if choice.logprobs else None) or ()
    ]
    assert streamed == logprobs.content


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_stop_string_ends_an_answer_and_is_not_in_it(client: OpenAI, generator: Generator, is_stream: bool) -> None:
    whole = text_of(generator, answer(generator, conversation(generator), max_tokens=60))
    stop = whole[20:27]
    asked = {"model": "base", "messages": MESSAGES, "temperature": 0, "max_tokens": 60, "stop": ["xyzzy", stop]}
    if is_stream:
        chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**asked, stream=True)]
        text = "".join(chunk.delta.content or "" for chunk in chunks)
        reason = chunks[-1].finish_reason
    else:
        choice = client.chat.completions.create(**asked).choices[0]
        text, reason = choice.message.content, choice.finish_reason
    assert text == whole[: whole.find(stop)]
    assert reason == "stop"


def test_prompts_come_as_text_or_tokens_and_several_at_once(client: OpenAI, generator: Generator) -> None:
    texts = ["turn right", "wait until"]
    tokens = [generator.chat.tokenizer.encode(text) for text in texts]
    asked = {"model": "base", "temperature": 0, "max_tokens": 8}
    found = [
        [choice.text for choice in client.completions.create(prompt=prompt, **asked).choices]
        for prompt in (texts, tokens)
    ]
    expected = [text_of(generator, answer(generator, tuple(one), max_tokens=8)) for one in tokens]
    assert found == [expected, expected]
    assert client.completions.create(prompt=tokens[0], **asked).choices[0].text == expected[0]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_prompt_that_ends_within_a_character_leaks_nothing_of_it(
    client: OpenAI, generator: Generator, is_stream: bool
) -> None:
    tokenizer = generator.chat.tokenizer
    emoji = tokenizer.encode("😀")
    bias = {str(emoji[-1]): 100}
    asked = {"model": "base", "prompt": tokenizer.encode("secret") + emoji[:-1], "max_tokens": 3, "temperature": 0}
    if is_stream:
        chunks = client.completions.create(**asked, logit_bias=bias, stream=True)
        text = "".join(chunk.choices[0].text for chunk in chunks)
    else:
        text = client.completions.create(**asked, logit_bias=bias).choices[0].text
    assert text == tokenizer.decode([emoji[-1]] * 3)


def test_tokens_that_are_parts_of_a_character_are_named_by_their_bytes(client: OpenAI, generator: Generator) -> None:
    tokenizer = generator.chat.tokenizer
    for text in ("😀", "ดี"):
        tokens = tokenizer.encode(text)
        whole = client.completions.create(model="base", prompt=text, max_tokens=0, echo=True, logprobs=0).choices[0]
        assert whole.text == text
        assert whole.logprobs is not None
        assert [token.startswith("bytes:") for token in whole.logprobs.tokens].count(True) >= 2
        assert len(whole.logprobs.tokens) == len(tokens)


def test_an_echo_has_the_prompt_and_its_log_probabilities(client: OpenAI, generator: Generator) -> None:
    prompt = tuple(generator.chat.tokenizer.encode("turn right at"))
    expected = answer(generator, prompt, max_tokens=1, logprobs=0, prompt_logprobs=True)
    got = client.completions.create(model="base", prompt="turn right at", max_tokens=0, echo=True, logprobs=1)
    choice = got.choices[0]
    assert choice.text == "turn right at"
    assert choice.logprobs is not None
    assert expected.prompt_logprobs is not None
    assert choice.logprobs.token_logprobs == [one and pytest.approx(one.logprob) for one in expected.prompt_logprobs]
    assert "".join(choice.logprobs.tokens) == "turn right at"
    offsets = choice.logprobs.text_offset
    assert [choice.text[first:] for first in offsets] == [
        choice.text[sum(map(len, choice.logprobs.tokens[:count])) :] for count in range(len(offsets))
    ]


def test_biases_bans_and_lengths_are_honoured(client: OpenAI, generator: Generator) -> None:
    token = generator.chat.tokenizer.encode("x")[0]
    asked = {"model": "base", "prompt": "turn", "temperature": 0}
    got = client.completions.create(**asked, max_tokens=3, logit_bias={str(token): 100})
    assert got.choices[0].text == "xxx"
    end = next(iter(generator.chat.end_ids))
    got = client.completions.create(**asked, max_tokens=4, logit_bias={str(end): 100})
    assert (got.choices[0].text, got.choices[0].finish_reason) == ("", "stop")
    more = {"ignore_eos": True}
    got = client.completions.create(**asked, max_tokens=4, logit_bias={str(end): 100}, extra_body=more)
    assert (got.usage.completion_tokens, got.choices[0].finish_reason) == (4, "length")
    more = {"stop_token_ids": [token], "min_tokens": 2}
    got = client.completions.create(**asked, max_tokens=9, logit_bias={str(token): 100}, extra_body=more)
    assert (got.usage.completion_tokens, got.choices[0].finish_reason) == (3, "stop")


def test_the_models_are_the_base_and_its_adapters(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["base", "tenant/one"]
    assert client.models.retrieve("tenant/one").id == "tenant/one"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_errors_are_those_that_the_client_knows(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="base", messages=MESSAGES, temperature=3)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as tools:
        client.chat.completions.create(model="base", messages=MESSAGES, tools=[{"type": "function"}])
    assert tools.value.param == "tools"
