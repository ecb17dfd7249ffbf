import pytest
import typer

from verilora.__main__ import app
from verilora.serving.commands.bench_request import BenchRequest, bench_request
from verilora.serving.load.choices import Popularity, PromptKind, Route
from verilora.serving.load.objective import Objective


def request(**options: object) -> BenchRequest:
    """Return what the command line asks for by default, but for some options."""
    command = typer.main.get_command(app).commands["bench"]  # type: ignore[attr-defined]
    defaults = {parameter.name: parameter.default for parameter in command.params if parameter.name != "help"}
    names = {"ids": "token_ids", "warm_up": "num_warm_up", "busiest": "num_busiest"}
    asked = {names.get(name, name): value for name, value in defaults.items()}
    lists = {name: [] for name in ("models", "goodput")}
    enums = {"route": Route(asked["route"])}
    return bench_request(version="0", **{**asked, **lists, **enums, **options})


@pytest.mark.parametrize(
    ("options", "rate"),
    [({}, 1.0), ({"rate": 5.0}, 5.0), ({"concurrency": 4}, None), ({"rate": 5.0, "concurrency": 4}, 5.0)],
    ids=str,
)
def test_the_rate_that_holds(options: dict[str, object], rate: float | None) -> None:
    assert request(**options).workload.arrivals.rate == rate


def test_prompts_of_a_chat_are_words() -> None:
    assert request().workload.prompts is PromptKind.TOKENS
    assert request(route=Route.CHAT).workload.prompts is PromptKind.WORDS


def test_an_alpha_asks_for_the_power_law() -> None:
    assert request().workload.popularity is Popularity.UNIFORM
    workload = request(alpha=0.3).workload
    assert (workload.popularity, workload.alpha) == (Popularity.POWER_LAW, 0.3)


def test_a_duration_asks_for_as_many_as_the_rate_makes() -> None:
    assert request(rate=10.0, duration=2.55).workload.num_requests == 25
    with pytest.raises(ValueError, match="expected time for one request"):
        request(rate=0.1, duration=2.0)


def test_names_and_limits_may_stand_in_one_option_or_in_several() -> None:
    found = request(models=["a b", "c"], goodput=["ttft:5 tpot:6", "e2e:7"])
    assert found.models == ("a", "b", "c")
    assert found.objective == Objective(ttft=5, tpot=6, e2e=7)


def test_the_options_of_the_report() -> None:
    options = request(models=["a"], rate=3.0, cv=2.0).options()
    assert (options.models, options.rate, options.cv, options.input_len) == (("a",), 3.0, 2.0, "8:511")
