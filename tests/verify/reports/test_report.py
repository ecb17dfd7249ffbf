"""Reports of run directories whose answers were really judged (`tests/support/run_directories.py`)."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import jsonschema
import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.atomic import write_json
from verilora.specs.files.errors import InputError
from verilora.specs.waiver import Waiver
from verilora.verify.certificates.issue import issue_certificate
from verilora.verify.commands.terminal import console
from verilora.verify.records.run import read_run
from verilora.verify.records.verdict import Mode
from verilora.verify.reports.build import build_report
from verilora.verify.reports.junit import junit
from verilora.verify.reports.page import SECTIONS, render_page
from verilora.verify.reports.report import Report, make_report
from verilora.verify.reports.summary import render_summary

from certificates import measurement
from controllers import YIELDING
from run_directories import write_run

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text())
TASKS = (
    "right-at-traffic-light",
    "straight-at-traffic-light",
    "left-at-left-turn-light",
    "straight-at-two-way-stop",
    "left-at-wide-median",
)
VOID = {"meta", "img", "br", "input", "link", "hr"}
REFERENCES = {"src", "href", "xlink:href", "srcset", "poster", "action", "data", "background"}


class Page(HTMLParser):
    """What is on a page: elements with their attributes, ids, headings, and the text without style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory as `train` leaves it before its last stage."""
    return write_run(tmp_path_factory.mktemp("runs") / "first", driving, driving.rulebook(), task_ids=TASKS)


@pytest.fixture(scope="module")
def report(made: Path, driving: Domain) -> Report:
    return build_report(made, driving, driving.rulebook())


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page((report.run.files.path / "report.html").read_text())


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run directory, to be damaged."""
    return shutil.copytree(made, tmp_path / "run")


def change(run: Path, name: str, *path: str | int, to: Any = None) -> None:
    """Set a value in a JSON file of a run; without a value, take it away."""
    content = json.loads((run / name).read_text())
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    if to is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = to
    (run / name).write_text(json.dumps(content))


class TestPage:
    def test_it_needs_nothing_else(self, page: Page) -> None:
        for tag, attributes in page.elements:
            assert tag not in ("script", "link", "iframe", "object", "embed")
            for name in REFERENCES & set(attributes):
                assert (attributes[name] or "").startswith(("#", "data:image/gif;base64,")), (tag, attributes)

    def test_the_style_sheet_loads_nothing(self, report: Report) -> None:
        style = (report.run.files.path / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
        assert "@media (prefers-color-scheme: dark)" in style
        assert "@media print" in style
        assert not any(loads in style for loads in ("url(", "@import", "http"))

    def test_all_sections_are_there_and_linked(self, page: Page) -> None:
        ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
        assert [str(section["id"]) for section in page.all("section")] == [name for name, _ in SECTIONS]
        assert max(Counter(ids).values()) == 1
        links = {str(link["href"]).removeprefix("#") for link in page.all("a")}
        assert links == set(ids)

    def test_elements_are_closed_and_headings_go_down_one_level_at_a_time(self, page: Page) -> None:
        assert page.open == []
        levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
        assert levels.count(1) == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))

    def test_pictures_and_tables_can_be_read_without_seeing_them(self, page: Page) -> None:
        assert all(image["alt"] for image in page.all("img"))
        pictures = page.all("svg")
        assert len(pictures) > 20
        titles = sum(tag == "title" for tag, _ in page.elements) - 1
        named = [svg for svg in pictures if svg.get("aria-label") or svg.get("aria-hidden")]
        assert len(pictures) - len(named) == titles, "drawings of controllers have a title, all others a label"
        assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
        assert len(page.all("caption")) >= 6

    def test_wide_things_scroll_in_a_box_that_the_keyboard_reaches(self, page: Page) -> None:
        boxes = [each for _, each in page.elements if each.get("class") in ("scroll", "drawing")]
        assert len(boxes) > len(page.all("table"))
        assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in boxes)

    def test_it_says_what_the_evaluation_holds(self, page: Page, made: Path) -> None:
        evaluation = json.loads((made / "eval.json").read_text())
        after = evaluation["splits"]["test"]["after"]
        assert f"{after['compliance']['mean']:.1%}" in page.words
        rule = after["rules"]["phi12"]
        assert f"{rule['kept']} of {rule['applicable']}" in page.words
        assert evaluation["examples"][0]["after"]["text"].splitlines()[0] in page.words
        assert "unseen by training, not by the base model" in page.words
        assert "every transition that is not excluded has a positive probability" in page.words
        assert "No controller of this run was driven in a simulator." in page.words

    def test_violations_come_with_a_course_of_events(self, page: Page, made: Path) -> None:
        violation = json.loads((made / "eval.json").read_text())["violations"][0]
        assert violation["rule"] in page.words
        assert violation["wording"] in page.words
        headers = "time step what is the case action"
        assert headers in page.words
        assert "It was not looked for in the simulator." in page.words

    def test_text_of_models_is_not_markup(self, run: Path, driving: Domain) -> None:
        evil = "1. <script>alert(1)</script>\n2. <img src=x onerror=alert(1)>"
        change(run, "eval.json", "examples", 0, "after", "text", to=evil)
        change(run, "eval.json", "violations", 0, "wording", to="</style><a href='http://evil.example'>")
        change(run, "eval.json", "alarms", 0, "message", to='"><svg onload=alert(1)>')
        build_report(run, driving, driving.rulebook())
        found = Page((run / "report.html").read_text())
        assert not found.all("script")
        assert not any(str(link.get("href")).startswith("http") for link in found.all("a"))
        assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
        assert "<script>alert(1)</script>" in found.words


class TestWaivers:
    def test_they_are_shown_and_change_no_number(self, run: Path, made: Path, driving: Domain, report: Report) -> None:
        name = report.run.evaluation.violations[0].rule
        waiver = Waiver(rule=name, by="<b>The board</b>", reason="A test track.", date=date(2026, 1, 31))
        book = replace(driving.rulebook(), waivers=(waiver,))
        change(run, "config.json", "rulebook_digest", to=book.digest)
        waived = build_report(run, driving, book)
        page = Page((run / "report.html").read_text())
        assert f"{name} <b>The board</b> 2026-01-31 A test track." in page.words
        assert "waived by <b>The board</b> on 2026-01-31: A test track." in page.words
        assert sum(attributes.get("class") == "tag warn" for attributes in page.all("span")) >= 2
        found, without = (json.loads((folder / "report.json").read_text()) for folder in (run, made))
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
        said = {"rule": name, "by": "<b>The board</b>", "reason": "A test track.", "date": "2026-01-31"}
        assert (found.pop("waivers"), without.pop("waivers")) == ([said], [])
        for content in (found, without):
            del content["run"], content["config"]
        assert found == without
        out = console()
        with out.capture() as captured:
            out.print(render_summary(waived))
        assert ("waived by <b>The board</b>" in captured.get()) == (name in captured.get())

    def test_without_any_nothing_is_said_of_them(self, page: Page) -> None:
        assert "waive" not in page.words.lower()


class TestForPrograms:
    def test_json_follows_its_schema(self, made: Path, report: Report) -> None:
        found = json.loads((made / "report.json").read_text())
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
        evaluation = json.loads((made / "eval.json").read_text())
        assert found["splits"]["test"]["after"] == {**evaluation["splits"]["test"]["after"], "unjudged": None}
        assert found["config"] == json.loads((made / "config.json").read_text())

    def test_a_rule_of_a_split_is_a_test_case(self, made: Path, driving: Domain, report: Report) -> None:
        suites = fromstring((made / "junit.xml").read_text())
        evaluation = json.loads((made / "eval.json").read_text())["splits"]
        assert [suite.get("name") for suite in suites] == ["train", "validation", "test"]
        for suite in suites:
            rules = evaluation[suite.get("name")]["after"]["rules"]
            cases = {str(case.get("name")): case for case in suite}
            assert list(cases) == [*(rule.id for rule in driving.rulebook().rules), "timely"]
            timely = evaluation[suite.get("name")]["after"]["timely"]
            assert (cases["timely"].find("failure") is not None) == (timely["count"] < timely["of"])
            for name, case in cases.items():
                if name == "timely":
                    continue
                rule = rules[name]
                assert (case.find("skipped") is not None) == (rule["applicable"] == 0)
                failure = case.find("failure")
                assert (failure is not None) == (rule["kept"] < rule["applicable"])
                if failure is not None:
                    assert failure.get("message") == f"kept by {rule['kept']} of {rule['applicable']} answers"
            failed = len(suite.findall("testcase/failure"))
            assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), str(failed))
        assert int(suites.get("failures", "")) == len(suites.findall("testsuite/testcase/failure")) > 0
        assert sum(int(suite.get("skipped", "")) for suite in suites) == len(
            suites.findall("testsuite/testcase/skipped")
        )
        assert suites.findall("testsuite/testcase/skipped")

    def test_the_terminal_gets_the_verdict_and_what_is_broken(self, report: Report) -> None:
        out = console()
        with out.capture() as captured:
            out.print(render_summary(report))
        words = " ".join(captured.get().split())
        assert "Training raised compliance on combinations that it was not trained on from" in words
        assert "still broken (test)" in words
        assert f"report: {report.run.files.path / 'report.html'}" in words.replace("- ", "-")


class TestCertificate:
    def test_it_is_shown_with_its_signature(self, run: Path, driving: Domain) -> None:
        adapter = run / "adapter"
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        certificate = issue_certificate(adapter, measurement(driving, YIELDING, TASKS[0]))
        build_report(run, driving, driving.rulebook())
        words = Page((run / "report.html").read_text()).words
        assert certificate.adapter["adapter_model.safetensors"] in words
        assert "none: anyone could have written it" in words
        assert json.loads((run / "report.json").read_text())["certificate"] == certificate.model_dump(mode="json")


class TestOtherRuns:
    def test_paper_mode_shows_the_ceiling(self, driving: Domain, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", driving, driving.rulebook("paper"), mode=Mode.PAPER, task_ids=TASKS[:1])
        report = build_report(run, driving, driving.rulebook("paper"))
        assert report.ceiling is not None
        assert (report.ceiling.num_rules, report.ceiling.idle, report.ceiling.best) == (15, 12, 13)
        words = Page((run / "report.html").read_text()).words
        assert "no controller can keep more than 13 (86.7%): the best one breaks phi3 and phi14" in words
        assert "Raw share of rules kept on tasks that it was trained on, asked in other words" in words
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads((run / "report.json").read_text()))

    def test_a_domain_without_learned_worlds(self, greenhouse: Domain, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", greenhouse, greenhouse.rulebook())
        build_report(run, greenhouse, greenhouse.rulebook())
        words = Page((run / "report.html").read_text()).words
        assert "nothing learned: judged on all that its description allows" in words
        assert not any(word in words.split() for word in ("car", "cars", "road", "traffic", "pedestrian"))

    def test_answers_to_which_no_rule_applies_are_told(self, run: Path, driving: Domain) -> None:
        found = json.loads((run / "eval.json").read_text())["splits"]
        for split, sides in found.items():
            for side in sides:
                change(run, "eval.json", "splits", split, side, "unjudged", to=sides[side]["all_kept"])
        hardest = list(found)[-1]
        count, of = (found[hardest]["after"]["all_kept"][name] for name in ("count", "of"))
        assert count
        build_report(run, driving, driving.rulebook())
        words = Page((run / "report.html").read_text()).words
        assert "Not judged answers to tasks to which no rule of the book applies" in words
        assert f"No rule of the book applies to the tasks of {count} of {of} answers" in words

    def test_compliance_of_nothing_is_no_share(self, run: Path, driving: Domain) -> None:
        found = json.loads((run / "eval.json").read_text())["splits"]
        hardest = list(found)[-1]
        for side, score in found[hardest].items():
            sizes = [0] * len(score["compliance"]["sizes"])
            nothing = {"mean": 0.0, "low": None, "high": None, "n": 0, "sums": sizes, "sizes": sizes}
            change(run, "eval.json", "splits", hardest, side, "compliance", to=nothing)
        build_report(run, driving, driving.rulebook())
        words = Page((run / "report.html").read_text()).words
        assert f"{hardest.capitalize()} none → none" in words
        assert "no rule of the book applies there" in words

    def test_what_needs_no_model_is_set_beside_the_adapter(self, run: Path, driving: Domain) -> None:
        splits = json.loads((run / "eval.json").read_text())["splits"]
        measures = ("num_responses", "num_tokens", "compliance", "raw_share", "all_kept", "gate_rate")
        tables = {
            name: {
                "answers": {},
                "splits": {
                    split: {"split": split, "n": 1, **{key: splits[split][side][key] for key in measures}}
                    for split in ("validation", "test")
                },
            }
            for name, side in (("blind", "before"), ("guard_per_goal", "after"))
        }
        change(run, "eval.json", "memorised", to=tables)
        build_report(run, driving, driving.rulebook())
        found = json.loads((run / "report.json").read_text())
        jsonschema.Draft202012Validator(SCHEMA).validate(found)
        told = {name: row["splits"]["test"]["adapter"] for name, row in found["memorised"].items()}
        assert told == {"blind": "better", "guard_per_goal": "within the interval"}
        assert "on test the adapter beats it (compliance " in found["memorised"]["blind"]["sentence"]
        words = Page((run / "report.html").read_text()).words
        assert "Every answer gives the action of its goal at once and looks at nothing." in words
        assert "the adapter differs from it by no more than chance may" in words
        sizes = ("memorised", "blind", "splits", "test", "compliance")
        change(run, "eval.json", *sizes, to={**splits["test"]["before"]["compliance"], "sums": [], "sizes": []})
        with pytest.raises(InputError, match=r"memorised\.blind\.splits\.test: expected the prompts of the split"):
            build_report(run, driving, driving.rulebook())

    def test_episodes_in_the_simulator_are_counted_and_replayed(self, driving: Domain, tmp_path: Path) -> None:
        run = write_run(
            tmp_path / "run", driving, driving.rulebook(), task_ids=TASKS[-1:], per_prompt=1, num_episodes=1
        )
        build_report(run, driving, driving.rulebook())
        found = Page((run / "report.html").read_text())
        drive = json.loads((run / "eval.json").read_text())["drive"]
        assert "1 controllers from before and 1 from after were driven for 1 and 1 episodes" in found.words
        assert f"{drive['before']['arrived']['count']} of 1 → {drive['after']['arrived']['count']} of 1" in found.words
        # A run of before these were measured.
        assert "Never acted episodes in which it gave no action but the idle one not measured" in found.words
        violated = {name for when in drive.values() for name, rule in when["rules"].items() if rule["violated"]}
        never = found.words.partition("Violated in no episode, before or after: ")[2].partition(".")[0].split(", ")
        assert {*never} == {rule.id for rule in driving.rulebook().rules} - violated
        assert len(found.all("img")) == len(list(run.glob("replays/*.gif")))
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads((run / "report.json").read_text()))

    def test_replays_are_part_of_the_page(self, run: Path, driving: Domain) -> None:
        (run / "replays").mkdir()
        (run / "replays" / "one.gif").write_bytes(b"GIF89a")
        replay = {"seed": 1_000_003, "gif": "replays/one.gif", "searched": 4}
        change(run, "eval.json", "violations", 0, "replay", to=replay)
        change(run, "eval.json", "violations", 1, "replay", to={"seed": None, "searched": 200})
        build_report(run, driving, driving.rulebook())
        found = Page((run / "report.html").read_text())
        assert "still pending when the time is up" not in found.words
        assert [image["src"] for image in found.all("img")] == ["data:image/gif;base64,R0lGODlh"]
        assert "Reproduced in the simulator (seed 1000003)" in found.words
        assert "Not reproduced in 200 episodes" in found.words
        change(run, "eval.json", "violations", 0, "replay", to={**replay, "pending": True})
        build_report(run, driving, driving.rulebook())
        found = Page((run / "report.html").read_text())
        assert "(seed 1000003); the rule is not broken there but still pending when the time is up" in found.words
        assert all(" pending; beside the picture" in image["alt"] for image in found.all("img"))

    def test_rewards_are_drawn_where_there_are_no_pairs(self, run: Path, driving: Domain) -> None:
        rows = [{"round": 1, "step": step, "loss": 0.1, "reward": step / 4} for step in (1, 2, 3)]
        (run / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        build_report(run, driving, driving.rulebook())
        words = Page((run / "report.html").read_text()).words
        assert "Mean reward of the answers that a step sampled" in words
        assert "Share of pairs whose better answer the model prefers" not in words
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads((run / "report.json").read_text()))


class TestUnusable:
    @pytest.mark.parametrize("name", ["config.json", "eval.json", "training.jsonl"])
    def test_a_missing_file_is_named(self, run: Path, driving: Domain, name: str) -> None:
        (run / name).unlink()
        with pytest.raises(InputError, match=f"{name}: no such file"):
            build_report(run, driving, driving.rulebook())

    @pytest.mark.parametrize(
        ("name", "path", "message"),
        [
            ("config.json", ("rulebook_digest",), "config.json: rulebook_digest: is missing"),
            ("eval.json", ("splits",), "eval.json: splits: is missing"),
            ("eval.json", ("splits", "test", "after", "invalid", "low"), "splits.test.after.invalid.low: is missing"),
            ("eval.json", ("violations", 0, "verdict", "rules"), "violations.0.verdict.rules: is missing"),
        ],
    )
    def test_a_missing_field_is_named(
        self, run: Path, driving: Domain, name: str, path: tuple[str, ...], message: str
    ) -> None:
        change(run, name, *path)
        with pytest.raises(InputError, match=message):
            build_report(run, driving, driving.rulebook())

    def test_files_that_are_not_json(self, run: Path, driving: Domain) -> None:
        (run / "training.jsonl").write_text('{"round": 1, "step": 1, "loss": 1}\n{"round": 1,\n')
        with pytest.raises(InputError, match=r"training\.jsonl:2: not JSON"):
            build_report(run, driving, driving.rulebook())
        (run / "training.jsonl").write_text('{"round": 1, "step": 1, "loss": 1}\n{"round": 1}\n')
        with pytest.raises(InputError, match=r"training\.jsonl:2: step: is missing"):
            build_report(run, driving, driving.rulebook())
        (run / "eval.json").write_text("[]")
        with pytest.raises(InputError, match=r"eval\.json: expected a JSON object, got list"):
            build_report(run, driving, driving.rulebook())

    def test_what_changed_since_the_run_is_named(self, run: Path, driving: Domain) -> None:
        with pytest.raises(InputError, match=r"config\.json: changed since the run, in .*: the rulebook;"):
            build_report(run, driving, driving.rulebook("no-right-on-red"))
        change(run, "config.json", "worlds", "worlds.yaml", to="0" * 64)
        with pytest.raises(InputError, match=r"worlds\.yaml; expected what the run was made with"):
            build_report(run, driving, driving.rulebook())

    @pytest.mark.parametrize(
        ("gif", "message"),
        [("replays/none.gif", r"none\.gif: cannot be read"), ("../../secret", "stands outside of the run directory")],
    )
    def test_replays_that_cannot_be_shown(self, run: Path, driving: Domain, gif: str, message: str) -> None:
        change(run, "eval.json", "violations", 0, "replay", to={"seed": 1, "gif": gif, "searched": 1})
        with pytest.raises(InputError, match=message):
            build_report(run, driving, driving.rulebook())

    def test_a_violation_of_what_was_not_judged(self, run: Path, driving: Domain) -> None:
        change(run, "eval.json", "violations", 0, "rule", to="phi99")
        with pytest.raises(InputError, match="'phi99' is no rule or gate of the verdict beside it"):
            build_report(run, driving, driving.rulebook())

    def test_a_report_that_fails_leaves_the_one_before(self, run: Path, driving: Domain) -> None:
        build_report(run, driving, driving.rulebook())
        before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        change(run, "eval.json", "violations", 0, "replay", to={"seed": 1, "gif": "none.gif", "searched": 1})
        with pytest.raises(InputError):
            build_report(run, driving, driving.rulebook())
        assert all(
            (run / name).read_bytes() == before[name]
            for name in ("report.html", "report.json", "junit.xml", "audit.csv")
        )
        assert not list(run.glob("*.unfinished"))


def test_no_form_holds_what_commands_a_terminal_or_is_no_xml(made: Path, driving: Domain, tmp_path: Path) -> None:
    forged = "\x1b[2J\x08\u202e\ud800 kept"
    report = make_report(read_run(made), driving, driving.rulebook())
    rules = tuple(rule.model_copy(update={"english": forged}) for rule in report.rulebook.rules)
    told = replace(report, rulebook=replace(report.rulebook, rules=rules))
    for form in (junit(told), render_page(told)):
        assert r"\x1b[2J\x08\u202e\ud800 kept" in form
        assert not {*forged} & {*form} - {*"[2J kept"}
    fromstring(junit(told))
    write_json(tmp_path / "told.json", {"said": forged})
    assert json.loads((tmp_path / "told.json").read_text()) == {"said": forged}
