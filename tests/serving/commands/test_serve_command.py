"""What `verilora serve` cannot use is said with its field and the reason, and the exit code is 2."""

from pathlib import Path

import pytest

from verilora.serving.server.server_process import bind

from command_line import run_main
from servers import serving
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--host: got '0.0.0.0', expected one of 127.0.0.1"),
        (["--model", "nowhere-at-all"], "nowhere-at-all"),
        (["--adapter", "nameless"], "--adapter: got 'nameless', expected NAME=DIR"),
        (["--adapter", "../x=."], "--adapter: got '../x=.'"),
        (["--adapter", "x=nowhere"], "nowhere"),
        (["--gpu-memory-utilization", "0.5"], "--gpu-memory-utilization: got 0.5 for the device 'cpu'"),
        (["--task", "cooking"], "cooking"),
        (["--fronts", "0"], "--fronts"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_that_cannot_be_used_end_with_2(arguments: list[str], said: str) -> None:
    code, out, err = run_main("serve", *arguments)
    assert (code, out) == (2, "")
    assert said in err.replace("\n", " ")


def test_a_busy_port_ends_with_2() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, err = run_main("serve", "--port", str(port))
    assert code == 2
    assert f"--port: got {port}, which cannot be used" in err


def test_an_adapter_of_another_model_ends_with_2(tmp_path: Path, plain_adapter: Path) -> None:
    log = tmp_path / "log"
    with serving(log, "--adapter", f"other={plain_adapter}", is_ready=False) as served:
        assert served.process.wait(60) == 2
    assert "--adapter other: " in log.read_text()


def test_more_than_the_models_context_ends_with_2(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log, "--max-model-len", "2000", is_ready=False) as served:
        assert served.process.wait(60) == 2
    assert "--max-model-len: got 2000, expected at most the model's own 1024" in log.read_text()


def test_a_model_without_a_template_is_served_under_its_name(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "tiny", tiny_tokenizer(["turn right"], chat=False))
    with serving(tmp_path / "log", "--model", model, "--max-model-len", "40") as served:
        _, models = served.ask("GET", "/v1/models")
        assert [(one["id"], one["max_model_len"]) for one in models["data"]] == [("tiny", 40)]
        asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "ignore_eos": True}
        status, answer = served.ask("POST", "/v1/chat/completions", asked)
        assert (status, answer["usage"]["total_tokens"], answer["choices"][0]["finish_reason"]) == (200, 40, "length")


@pytest.fixture
def plain_adapter(tmp_path: Path) -> Path:
    model = save_tiny_model(tmp_path / "tiny", tiny_tokenizer(["turn right"]))
    return save_tiny_adapter(tmp_path / "adapter", base_model(model))
