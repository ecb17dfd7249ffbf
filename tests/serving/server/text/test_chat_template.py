"""A chat template renders as transformers renders it, and has no way out of its sandbox."""

from pathlib import Path

import pytest

from verilora.serving.server.text.chat_template import ChatTemplate
from verilora.synth.models.chat import Chat

from tiny_models import save_tiny_model, tiny_tokenizer

TALK = (
    {"role": "system", "content": 'be <brief> & "kind"'},
    {"role": "user", "content": "hello\nthere 😀"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "again"},
)
TEMPLATES = {
    "loops and conditions": (
        "{%- for message in messages %}\n  {%- if message['role'] == 'system' %}\n{{ bos_token }}{{ message.content }}"
        "{%- continue %}\n{%- endif %}\n[{{ loop.index0 }}] {{ message.content | trim }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    ),
    "json": "{{ messages | tojson(indent=2) }}{{ {'a': '<é>'} | tojson }}",
    "namespace": (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content | length %}{% endfor %}"
        "{{ ns.n }}{% if tools %}tools{% endif %}{{ dict(a=1) }}"
    ),
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "thinking": (
        "{% if enable_thinking is defined and not enable_thinking %}<none>{% endif %}{{ messages[-1].content }}"
    ),
}


def rendered(chat: Chat) -> str:
    tokens = {name: token for name, token in chat.tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return ChatTemplate(chat.tokenizer.chat_template, tokens).render(TALK)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_it_renders_as_transformers_does(tmp_path: Path, template: str) -> None:
    tokenizer = tiny_tokenizer(["hello"])
    tokenizer.bos_token = "<|user|>"
    tokenizer.chat_template = template
    chat = Chat(save_tiny_model(tmp_path, tokenizer))
    assert rendered(chat) == chat.render(TALK)


def test_that_of_the_embedded_model_and_of_one_without_render_so_too(plain_model: Path) -> None:
    for chat in (Chat(), Chat(plain_model)):
        assert rendered(chat) == chat.render(TALK)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].nothing.there }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_what_a_template_refuses_and_must_not_do_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match="messages, the model's chat template refuses them: "):
        ChatTemplate(template, {}).render(TALK)


def test_messages_are_no_templates() -> None:
    template = ChatTemplate("{{ messages[0].content }}", {})
    assert template.render([{"role": "user", "content": "{{ 1 + 1 }}"}]) == "{{ 1 + 1 }}"
