"""README and the pages beside it: what they show is what is printed, and what they name exists."""

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from verilora.__main__ import app
from verilora.specs.domain import Domain, load_domain
from verilora.specs.logic import Bdd, buddy
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.condition import diagram
from verilora.synth.controllers.steps import If, InvalidController, parse_steps

from command_line import run_main, without_progress

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = ("benchmarks", "docs", "envs", "examples", "finetune", "kernels", "specs", "synth", "tests", "verify")
CUT = r"^\[cut here: .*\]$"


def page(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), flags=re.MULTILINE | re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def told(name: str) -> Iterator[tuple[str, str]]:
    """Each command of a page, and what stands below it; a backslash continues it."""
    for block in blocks(name, "console"):
        for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
            command, _, out = part.partition("\n")
            yield command.partition("  #")[0], out


@pytest.mark.parametrize(("name", "count"), [("README.md", 2), ("docs/domain.md", 2)])
def test_commands_print_what_a_page_says(
    name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cut is said; the rest is what comes to a file or a pipe, but for spaces at the end of lines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    compared = 0
    for command, shown in told(name):
        program, *arguments = shlex.split(command)
        if program == "cat":
            (tmp_path / arguments[0]).write_text(shown)
        elif program == "verilora" and shown:
            _, printed, errors = run_main(*arguments)
            assert_shows("\n".join(line.rstrip() for line in printed.splitlines()), shown)
            assert not without_progress(errors)
            compared += 1
    assert compared == count


def assert_shows(printed: str, shown: str) -> None:
    """Assert that all of an output is shown but for what is said to be cut."""
    at = 0
    parts = [part.strip("\n") for part in re.split(CUT, shown, flags=re.MULTILINE)]
    for number, part in enumerate(parts):
        assert part in (printed[at:] if number else printed[: len(part)]), printed
        at = printed.index(part, at) + len(part)
    assert not parts[-1] or not printed[at:].strip(), printed


def test_the_five_lines_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("README.md", "python")
    assert sum(bool(line) for line in code.splitlines()) == 5
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out in blocks("README.md", "text")


def test_both_examples_of_the_readme_are_the_same_steps() -> None:
    (code,) = blocks("README.md", "python")
    steps = next(shown for command, shown in told("README.md") if command == "cat steps.txt")
    assert repr(steps.strip())[1:-1] in code


def test_the_readme_serves_as_its_example_does(driving: Domain) -> None:
    commands = [command.strip() for command, _ in told("README.md")]
    example = page("examples/serve_and_verify.py")
    for line in example.partition("\n\n")[2].partition('"""')[0].splitlines():
        assert line.partition(" [")[0] in commands, line
    (shown,) = (out for command, out in told("README.md") if "serve_and_verify" in command)
    found = re.findall(r"^(\w+) +compliance (\d+)%, (\d+) of (\d+) answers keep all rules$", shown, re.MULTILINE)
    num_answers = 16 * len(driving.task("right-at-traffic-light").wordings["validation"])
    assert [(name, int(total)) for name, *_, total in found] == [("base", num_answers), ("driving", num_answers)]
    assert int(found[0][1]) < int(found[1][1])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(path.read_text())):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            linked = path.parent / file if file else path
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def anchors(path: Path) -> set[str]:
    """Return what hosting sites call the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    for name in spans(path.read_text()):
        # A name in capitals stands for one of the reader's own.
        if not re.fullmatch(r"[\w.*/-]+", name) or re.search(r"\b[A-Z]{2,}\b|\bx\b", name):
            continue
        if name.split("/")[0] in FOLDERS and "/" in name:
            assert list(ROOT.glob(name.rstrip("/"))), name
        elif "/" not in name and name.endswith(".py"):
            assert any(list((ROOT / room).rglob(name)) for room in FOLDERS) or (ROOT / name).exists(), name


def spans(text: str) -> list[str]:
    """Return what stands between backticks, lines joined."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_blocks(text))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_that_are_named_exist_with_their_options(path: Path) -> None:
    group: Any = typer.main.get_command(app)
    told_here = [command for command, _ in told(path.relative_to(ROOT).as_posix())]
    for span in (*spans(path.read_text()), *told_here):
        program, *rest = span.split()
        if program not in ("verilora", "train"):
            continue
        command = group if program == "verilora" else group.commands["train"]
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            assert name in command.commands, span
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert not {word for word in rest if word.startswith("--")} - known - {"--help"}, span


def test_the_page_about_architecture_shows_the_wings_in_their_order() -> None:
    tree = ast.parse(page("tests/test_house.py"))
    (order,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "WINGS"
    )
    shown = {spans(room)[0].rstrip("/"): spans(wings) for room, _, wings in rows(page("docs/architecture.md"))}
    assert {room: wings for room, wings in shown.items() if wings} == {
        room: [wing for wing in wings if wing != "."] for room, wings in order.items()
    }


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its heading."""
    lines = [line for line in text.strip().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def machines() -> list[tuple[str, str]]:
    """Every example of the page about steps, with the table below it."""
    return re.findall(r"^```steps\n((?:[0-9].*\n)+)```\n\n((?:\|.*\n)+)", page("docs/steps.md"), flags=re.MULTILINE)


@pytest.mark.parametrize(("steps", "table"), machines(), ids=lambda text: text.splitlines()[0][:40])
def test_steps_are_the_machine_below_them(steps: str, table: str, driving: Domain, alignment: Alignment) -> None:
    controller = parse_controller(steps, alignment)
    english = driving.vocabulary.english
    found = [
        (name, edge.guard, english[edge.action], controller.names[edge.target])
        for name, edges in zip(controller.names, controller.states, strict=True)
        for edge in edges
    ]
    expected = [(at, letters(case, alignment), action, following) for at, case, action, following in rows(table)]
    assert len(found) == len(expected)
    assert not [edge for edge in found if edge not in expected]


def letters(case: str, alignment: Alignment) -> Bdd:
    """Return the set of letters that a cell tells."""
    if case == "always":
        return buddy.bddtrue
    step = parse_steps(f"1. if {case}, stop\n2. stop", alignment)[0]
    assert isinstance(step, If)
    return diagram(step.condition)


def test_every_example_of_steps_has_its_machine() -> None:
    assert len(machines()) == len(blocks("docs/steps.md", "steps")) == 8


def test_what_is_invalid_is_so_for_the_reason_given(alignment: Alignment) -> None:
    table = rows(page("docs/steps.md").partition("## What is invalid")[2])
    assert len(table) == 10
    for steps, message in table:
        with pytest.raises(InvalidController) as raised:
            parse_controller("\n".join(spans(steps)), alignment)
        assert str(raised.value) == message


def test_the_grammar_on_the_page_is_that_of_the_parser() -> None:
    grammar = "".join(re.findall(r"^ {4}.*\n", page("docs/steps.md"), flags=re.MULTILINE))
    assert grammar.count(":=") == 7
    assert grammar in page("synth/controllers/steps.py")


def test_excerpts_of_the_domain_page_stand_in_the_files() -> None:
    files = "".join(path.read_text() for path in sorted((ROOT / "tests/data/greenhouse").rglob("*.yaml")))
    found = blocks("docs/domain.md", "yaml")
    assert len(found) == 6
    assert [excerpt for excerpt in found if excerpt not in files] == waivers()


def test_waivers_as_the_domain_page_writes_them_are_read(greenhouse: Domain, tmp_path: Path) -> None:
    shutil.copytree(greenhouse.folder, tmp_path / "greenhouse")
    with (tmp_path / "greenhouse" / "rulebooks" / "default.yaml").open("a") as book:
        book.writelines(waivers())
    found = load_domain("greenhouse", tmp_path).rulebook().waivers
    assert [(waiver.rule, waiver.by, str(waiver.date)) for waiver in found] == [
        ("spare_heat", "A. Gardener", "2026-01-31")
    ]


def waivers() -> list[str]:
    return [excerpt for excerpt in blocks("docs/domain.md", "yaml") if excerpt.startswith("waivers:")]


def test_a_misspelled_name_is_found(greenhouse: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in greenhouse.folder.rglob("*.yaml"):
        copy = tmp_path / path.relative_to(greenhouse.folder.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text().replace("G(door_open -> !heat)", "G(door_opn -> !heat)"))
    code, _, errors = run_main("rules", "--task", "greenhouse", "--specs", ".")
    assert (code, [errors]) == (2, blocks("docs/domain.md", "text"))
