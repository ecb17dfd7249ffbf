"""`verilora bench` as users run it, against a server that does what its models' names say, and against the real one."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.commands.bench_command import bench_server
from verilora.serving.commands.bench_request import BenchRequest
from verilora.serving.load.choices import Route
from verilora.serving.load.target import Target
from verilora.serving.load.workload.arrivals import Arrivals
from verilora.serving.load.workload.lengths import LengthRange
from verilora.serving.load.workload.plan import Workload

from command_line import run_main
from servers import serving, until
from stream_server import stream_server
from tiny_models import base_model, save_tiny_adapter

FAST = ("--rate", "2000", "--input-len", "6:9", "--output-len", "3:5")


def bench(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report of a run."""
    code, out, err = run_main("bench", "--json", *FAST, *arguments)
    return code, json.loads(out) if out else {"error": err}


@pytest.mark.parametrize("route", Route)
def test_a_report_tells_what_the_server_did(route: Route) -> None:
    with stream_server("base", "tenant-0") as server:
        code, report = bench(
            "--url", server.url, "-n", "40", "--route", route, "--ignore-eos", "--goodput", "e2e:60000"
        )
    assert (code, report["num_succeeded"], report["failures"]) == (0, 40, [])
    asked = [one.body for one in server.answered]
    assert len(asked) == 40
    assert sum(one["max_tokens"] for one in asked) == sum(one["num_tokens_served"] for one in report["busiest"])
    assert {one["name"]: one["num_requests"] for one in report["busiest"]} == {
        name: sum(one["model"] == name for one in asked) for name in server.models
    }
    assert all(one["ignore_eos"] and one["stream_options"] == {"include_usage": True} for one in asked)
    assert (report["jains_index"], report["goodput"]["share"]) == (pytest.approx(1), 1)
    assert [one["e2e"] >= one["ttft"] > 0 for one in report["requests"]] == [True] * 40


def test_the_same_seed_asks_for_the_same() -> None:
    def bodies(*arguments: str) -> list[str]:
        with stream_server("base", "a", "b") as server:
            assert bench("--url", server.url, "-n", "20", "--alpha", "0.3", *arguments)[0] == 0
        return sorted(json.dumps(one.body) for one in server.answered)

    assert bodies("--seed", "3") == bodies("--seed", "3") != bodies("--seed", "4")


def test_models_of_a_pattern_and_a_warm_up_that_is_not_measured() -> None:
    with stream_server() as server:
        arguments = ("--models", "t-{}", "--num-models", "30", "-n", "30", "--popularity", "distinct", "--warm-up", "5")
        code, report = bench("--url", server.url, *arguments, "--busiest", "4")
    assert (code, report["num_sent"], len(server.answered)) == (0, 30, 35)
    # What is measured was not seen before.
    assert len({json.dumps(one.body["prompt"]) for one in server.answered}) == 35
    assert {one.body["model"] for one in server.answered} == {f"t-{number}" for number in range(30)}
    assert (len(report["busiest"]), report["rest"]["num_models"], report["rest"]["num_requests"]) == (4, 26, 26)


def test_concurrency_alone_asks_for_as_many_as_possible() -> None:
    with stream_server("a", pause=0.001) as server:
        arguments = ("--url", server.url, "--concurrency", "3", "-n", "30", "--input-len", "4", "--output-len", "4")
        code, out, _ = run_main("bench", "--json", *arguments)
    assert (code, server.most_open) == (0, 3)
    assert json.loads(out)["options"]["rate"] is None


def test_a_trace_is_sent_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    rows = [{"timestamp": at, "input_length": 3, "output_length": at + 1, "model": f"m{at}"} for at in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with stream_server("base") as server:
        code, report = bench("--url", server.url, "--trace", path)
    assert code == 0
    assert [(one["at"], one["model"], one["output_tokens"]) for one in report["requests"]] == [
        (pytest.approx(at / 1000), f"m{at}", at + 1) for at in range(5)
    ]


def test_failures_are_counted_by_kind_and_end_with_1() -> None:
    ways = ("good", "status-429", "cuts-off", "garbage")
    with stream_server(*ways) as server:
        code, report = bench("--url", server.url, "-n", "40", "--popularity", "distinct")
    assert (code, report["num_succeeded"], report["num_failed"]) == (1, 10, 30)
    assert {one["kind"]: one["count"] for one in report["failures"]} == {
        "status 429": 10,
        "cut off": 10,
        "not understood": 10,
    }


def test_tables_cannot_be_forged_by_a_server() -> None:
    with stream_server("\x1b[2Jforged\u202e", "status-429") as server:
        code, out, err = run_main("bench", "--url", server.url, *FAST, "-n", "10", "--popularity", "distinct")
    assert code == 1
    assert not {"\x1b", "\u202e"} & {*out, *err}
    for said in (r"\x1b[2Jforged\u202e", "5 of 10 requests answered", "5 failed: status 429", "TTFT", "Jain's index"):
        assert said in out
    assert "requests: 10 of 10" in err


def test_it_runs_outside_of_the_main_thread() -> None:
    workload = Workload(
        num_requests=3, arrivals=Arrivals(rate=None), input_len=LengthRange(2, 2), output_len=LengthRange(2, 2)
    )
    with stream_server("a") as server, ThreadPoolExecutor(1) as others:
        request = BenchRequest(target=Target(url=server.url), workload=workload, version="0", as_json=True)
        assert others.submit(bench_server, request).result() == 0
    assert len(server.answered) == 3


def test_a_report_is_written_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with stream_server("a") as server:
        code, out, _ = run_main("bench", "--url", server.url, *FAST, "-n", "3", "--out", path)
    assert code == 0
    assert "3 of 3 requests answered" in out
    assert json.loads(path.read_text())["num_succeeded"] == 3


def test_the_key_of_the_environment_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERILORA_API_KEY", "sk-secret")
    path = tmp_path / "report.json"
    with stream_server("a", "status-500") as server:
        _, out, err = run_main("bench", "--url", server.url, *FAST, "-n", "4", "--out", path)
    assert {one.headers["authorization"] for one in server.answered} == {"Bearer sk-secret"}
    assert "sk-secret" not in out + err + path.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--url", "http://127.0.0.1:1"),
            "--url: the server does not tell its models, got connection: Connection refused",
        ),
        (("--url", "http://nowhere.invalid"), "--url: the server does not tell its models, got connection"),
        (("--url", "http://127.0.0.1:1", "--models", "a"), "--url: the server does not tell its models"),
        (("--url", "file:///etc/passwd"), "url, expected http://HOST:PORT"),
        (("--rate", "0"), "rate, got 0.0"),
        (("--input-len", "9:2"), "--input-len, got 9:2"),
        (("--output-len", "x"), "--output-len, got 'x'"),
        (("--alpha", "0.3", "--popularity", "uniform"), "--alpha, expected it with the popularity power-law"),
        (("--route", "chat", "--prompts", "tokens"), "a chat takes no token ids"),
        (("--concurrency", "4", "--duration", "5"), "--duration, expected --rate with it"),
        (("--goodput", "speed:1"), "got 'speed:1', expected ttft, tpot, e2e"),
        (("--trace", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--out", "nowhere/report.json"), "nowhere/report.json: cannot be written"),
    ],
)
def test_what_cannot_be_used_ends_with_2(arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run_main("bench", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_an_interrupt_ends_with_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with stream_server("good", "hangs") as server:
        command = [sys.executable, "-m", "verilora", "bench", "--url", server.url, *FAST, "-n", "2000", "--rate", "20"]
        with subprocess.Popen(
            [*command, "--popularity", "distinct", "--out", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as running:
            # The first has been answered when the third is asked.
            until(lambda: len(server.answered) > 2)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    report = json.loads(path.read_text())
    assert report["num_succeeded"] + report["num_interrupted"] == report["num_sent"] < report["num_planned"]
    assert report["num_failed"] == 0
    assert report["num_interrupted"] > 0
    assert "interrupted" in out.decode()
    assert "Traceback" not in err.decode()


def test_the_real_server_answers(tmp_path: Path) -> None:
    adapter = save_tiny_adapter(tmp_path / "tenant", base_model(), scale=0.5)
    with serving(tmp_path / "log", "--adapter", f"tenant={adapter}") as served:
        arguments = ("--url", served.url, "-n", "12", "--rate", "50", "--input-len", "4:30", "--output-len", "2:9")
        for route in Route:
            code, out, err = run_main("bench", "--json", *arguments, "--route", route, "--ignore-eos")
            report = json.loads(out)
            assert (code, report["num_succeeded"], report["num_models"]) == (0, 12, 2), err
            rows = report["requests"]
            assert [one["output_tokens"] for one in rows] == [one["output_tokens_asked"] for one in rows]
        until(served.is_idle)
