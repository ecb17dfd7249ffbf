"""`import verilora`: what it costs, what it offers, and that it says what the commands say."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import verilora
from verilora.specs.domain import Domain
from verilora.verify.certificates.certificate import write_certificate
from verilora.verify.certificates.issue import new_certificate

from certificates import measurement
from command_line import run_main
from controllers import BEFORE, YIELDING
from run_directories import write_run

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
TASK = "right-at-traffic-light"
FIVE_LINES = f"""
from verilora import load_domain, verify_text
steps = {BEFORE!r}
verdict = verify_text(steps, load_domain("driving"), "{TASK}")
print(verdict.compliance, verdict.gates[0].status.name, [rule.rule_id for rule in verdict.deciding if rule.witness])
"""
TYPED = """
from typing import assert_type

import verilora
from verilora import Audit, Domain, RankedAnswer, RulebookLint, Status, Verdict, drive, lint, synthesize, verify_text

domain = verilora.load_domain("driving")
assert_type(domain, Domain)
verdict = verify_text("1. stop", domain, "go", rulebook="default", settings=verilora.Settings(mode=verilora.Mode.GATED))
assert_type(verdict, Verdict)
assert_type(verdict.rules[0].status, Status)
assert_type(lint(domain, world="traffic_light"), RulebookLint)
assert_type(drive("1. stop", domain, "go", num_episodes=3), Audit)
assert_type(synthesize(domain, verilora.Generator(), "go"), list[RankedAnswer])
assert_type(verilora.__version__, str)
rule = verilora.Rule(id="mine", formula=verilora.Formula("G stop"), english="")
assert_type(domain.rulebook("default").extended("mine", rule), verilora.Rulebook)
verilora.no_such_name  # type: ignore[attr-defined]
verify_text("1. stop", domain)  # type: ignore[call-arg]
"""


def python(code: str, cwd: Path | None = None) -> str:
    """Return what some code prints in a process of its own, which must say nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, cwd=cwd, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys; known = {*sys.modules}; import verilora; "
    code += "print(*{name.split('.')[0] for name in {*sys.modules} - known} - sys.stdlib_module_names)"
    assert python(code) == "verilora\n"
    code = "import sys, verilora; verilora.InputError, verilora.__version__, dir(verilora); "
    assert python(f"{code} print({{'torch', 'spot', 'pydantic'}} & {{*sys.modules}})") == "set()\n"


@pytest.mark.parametrize("name", verilora.__all__)
def test_every_name_resolves_and_says_what_it_is(name: str) -> None:
    value = getattr(verilora, name)
    if name not in ("SHIPPED", "__version__"):
        assert value.__module__.startswith("verilora.")
        first = value.__doc__.splitlines()[0]
        assert first.endswith((".", ":")), first
    assert name in dir(verilora)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    seen = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == verilora._NAMES
    assert sorted([name for names in seen.values() for name in names] + ["__version__"]) == sorted(verilora.__all__)


def test_no_name_is_that_of_a_room() -> None:
    """`verilora.verify` is the room as soon as anything in it is imported, whatever the root says."""
    assert not [name for name in verilora.__all__ if (ROOT / name).is_dir()]


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'verilora' has no attribute 'vreify'$"):
        verilora.vreify  # noqa: B018


def test_the_version_is_that_of_the_code() -> None:
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert found
    assert verilora.__version__ == found[1]


def test_five_lines_make_a_verdict() -> None:
    assert len(FIVE_LINES.strip().splitlines()) <= 5
    assert python(FIVE_LINES) == "0.0 VIOLATED ['phi5', 'phi9', 'phi11', 'phi14', 'right_on_red_yields']\n"


@pytest.mark.slow
def test_mypy_agrees_with_the_types(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TYPED)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "verilora").symlink_to(ROOT)
    # As of an installed package, whose own files are not reported: kernels of Triton have no types.
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent"]
    command += ["--config-file", ROOT / "pyproject.toml", "script.py"]
    examples = sorted((ROOT / "examples").glob("*.py"))
    command += examples
    environment = {**os.environ, "MYPYPATH": str(tmp_path / "site")}
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (0, f"Success: no issues found in {1 + len(examples)} source files\n")


@pytest.mark.parametrize("text", [BEFORE, "1. hope for the best\n2. stop"])
def test_the_verdict_is_that_of_the_command(driving: Domain, text: str) -> None:
    _, out, _ = run_main("verify", "--for", TASK, "--json", "-", text=text.encode())
    verdict = verilora.verify_text(text, driving, TASK)
    assert json.loads(json.dumps([{"file": "-", **verdict.to_json()}])) == json.loads(out)


def test_the_lint_is_that_of_the_command(greenhouse: Domain) -> None:
    _, out, _ = run_main("rules", "--task", "greenhouse", "--specs", DATA, "--json")
    parts: list[int] = []
    found = verilora.lint(greenhouse, report=lambda so_far: parts.append(len(so_far.worlds)))
    assert json.loads(json.dumps(found.to_json())) == json.loads(out)
    assert parts == [*range(len(greenhouse.worlds) + 1)]


def test_the_audit_is_that_of_the_command(driving: Domain) -> None:
    arguments = ("--for", TASK, "--episodes", "3", "--processes", "1")
    code, out, _ = run_main("drive", *arguments, "-", text=YIELDING.encode())
    audit = verilora.drive(YIELDING, driving, TASK, num_episodes=3)
    assert f"3 episodes in {audit.world}: {audit.num_arrived} arrived, {audit.num_crashed} crashed" in out
    assert code == int(bool(audit.findings))


def test_the_answers_are_those_of_the_command(driving: Domain) -> None:
    _, out, _ = run_main("synthesize", "--for", TASK, "-n", "3", "--seed", "5", "--json")
    answers = verilora.synthesize(driving, verilora.Generator(), TASK, num_answers=3, seed=5)
    assert json.loads(json.dumps([answer.to_json() for answer in answers])) == json.loads(out)["answers"]


def test_without_a_rulebook_paper_mode_judges_answers_by_the_papers(driving: Domain) -> None:
    settings = verilora.Settings.of(verilora.Mode.PAPER)
    (answer,) = verilora.synthesize(driving, verilora.Generator(), TASK, settings=settings)
    assert answer.verdict is not None
    assert (answer.verdict.rulebook, answer.verdict.raw_total) == ("paper", 15)


def test_a_rule_of_ones_own(driving: Domain) -> None:
    rule = verilora.Rule(id="never", formula=verilora.Formula("G !turn_right"), english="The car never turns right.")
    book = driving.rulebook().extended("mine", rule)
    verdict = verilora.verify_text(YIELDING, driving, TASK, rulebook=book)
    assert (verdict.rulebook, verdict.rules[-1].rule_id) == ("mine", "never")
    assert verdict.rules[-1].status is verilora.Status.VIOLATED
    assert all(rule.status.is_kept for rule in verdict.deciding[:-1])
    assert len(driving.rulebook().rules) == len(book.rules) - 1


def test_a_rule_that_the_domain_cannot_know(driving: Domain) -> None:
    formula = verilora.Formula("G !hop")
    book = driving.rulebook().extended("mine", verilora.Rule(id="never", formula=formula, english=""))
    message = r"^rulebook mine: never\.formula: unknown proposition: got 'hop', expected one of at_line, .*stop"
    for judge in (verilora.verify_text, verilora.drive):
        with pytest.raises(verilora.InputError, match=message):
            judge(YIELDING, driving, TASK, rulebook=book)
    with pytest.raises(verilora.InputError, match=message):
        verilora.lint(driving, book)


def test_bad_input_names_the_file_and_what_was_expected(driving: Domain, greenhouse: Domain) -> None:
    tasks = re.escape(str(driving.folder / "tasks.yaml"))
    for judge in (verilora.verify_text, verilora.drive):
        with pytest.raises(verilora.InputError, match=rf"^{tasks}: no such task: got 'go', expected one of left-"):
            judge("1. stop", driving, "go")
    with pytest.raises(
        verilora.InputError, match=r"flying: no such task domain .*: got 'flying', expected one of driv"
    ):
        verilora.load_domain("flying")
    with pytest.raises(verilora.InputError, match=r"defualt\.yaml: no such rulebook: .*did you mean 'default'"):
        verilora.verify_text("1. stop", driving, TASK, rulebook="defualt")
    with pytest.raises(verilora.InputError, match=r"worlds\.yaml: no such world or kind: got 'moon', expected one of"):
        verilora.lint(driving, world="moon")
    with pytest.raises(verilora.InputError, match=r"tasks\.yaml: water-glasshouse: cannot be simulated: got 'glass"):
        verilora.drive("1. close vent", greenhouse, "water-glasshouse")
    with pytest.raises(verilora.InvalidController, match="step 1: unknown action"):
        verilora.drive("1. hope\n2. stop", driving, TASK)
    with pytest.raises(ValueError, match=r"^num_episodes: expected at least 1, got 0$"):
        verilora.drive(YIELDING, driving, TASK, num_episodes=0)


def examples() -> Iterator[tuple[str, str]]:
    """Every example of the reference, with what it is said to print."""
    text = (ROOT / "docs" / "api.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python")
    yield from blocks


def run_called_first(folder: Path, domain: Domain) -> None:
    """Write what stands in runs/first: a run of one task, and a certificate of an adapter."""
    run = write_run(folder / "runs" / "first", domain, domain.rulebook(), task_ids=[TASK], per_prompt=1)
    adapter = run / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text("{}")
    certificate = new_certificate(adapter, measurement(domain, YIELDING, TASK))
    write_certificate(adapter, certificate)


@pytest.mark.slow
def test_the_examples_of_the_reference_print_what_they_say(driving: Domain, tmp_path: Path) -> None:
    run_called_first(tmp_path, driving)
    found = list(examples())
    for code, _ in found:
        assert all(len(line) <= 120 for line in code.splitlines())
    out = python("print('-----')\n".join(code for code, _ in found), cwd=tmp_path)
    assert out.split("-----\n") == [expected for _, expected in found]


def test_the_reference_tells_every_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    assert not [name for name in verilora.__all__ if not re.search(rf"\b{name}\b", text)]
