"""The report as a page: one HTML file that needs nothing else, for people who answer for what is built."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...specs.files.printable import printable
from ...specs.task import Split
from ...synth.controllers.controller import Ending, Otherwise
from ...synth.models.base_model import EMBEDDED
from ..records.by_prompt import MIN_GROUPS
from ..records.evaluation import Mean, Violation
from ..records.run import TrainingRow
from ..worlds.world import WorldKind
from . import comparison, findings
from .curve import Series, curve
from .exhibit import Exhibitor, WitnessView
from .report import Report
from .strip import strip

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("verdict", "Verdict"),
    ("asked", "What was asked"),
    ("rules", "Rules"),
    ("answers", "Answers"),
    ("training", "Training"),
    ("baselines", "Without training"),
    ("examples", "Controllers"),
    ("violations", "Still violated"),
    ("drive", "In the simulator"),
    ("alarms", "Alarms"),
    ("claim", "What the claim rests on"),
    ("splits", "Splits"),
    ("provenance", "Provenance"),
)
CURVES = (
    ("loss", "Loss", "What the trainer minimises; lower is better."),
    ("accuracy", "Accuracy", "Share of pairs whose better answer the model prefers."),
    ("margin", "Margin", "By how much it prefers the better answer (difference of implicit rewards)."),
    ("reward", "Reward", "Mean reward of the answers that a step sampled, as the verifier gives it."),
)
WORLDS = {
    WorldKind.SIMULATED: "worlds learned from the simulator, all that was not learned free (see below)",
    WorldKind.ABSTRACT: "worlds as they are described, nothing learned",
    WorldKind.UNIVERSAL: "a world where anything can happen at any time",
}
ENDINGS = {
    Ending.PATROL: "after the last step comes step 1",
    Ending.ONE_SHOT: "after the last step the run ends (in paper mode it idles for ever)",
}
OTHERWISE = {
    Otherwise.STAY: "where a condition fails and nothing else is said, it waits",
    Otherwise.ADVANCE: "where a condition fails and nothing else is said, it goes on",
}


def render_page(report: Report) -> str:
    """Return a report as a self-contained HTML document; raises InputError if a replay is missing."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    english = report.domain.vocabulary.english
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    environment.filters["words"] = lambda names: ", ".join(english[name] for name in names)
    environment.tests["mean"] = lambda share: isinstance(share, Mean)
    style = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704 (our own file)
    page = environment.get_template("page.html.j2")
    content = {**_verdict(report), **_asked(report), **_shown(report)}
    return printable(page.render(style=style, sections=SECTIONS, **content))


def _verdict(report: Report) -> dict[str, Any]:
    """Return what the page says of the run as a whole."""
    run, mode = report.run, report.run.config.mode
    split = findings.hardest_split(run)
    scores = run.evaluation.splits[split]
    moved = findings.change(mode.quality(scores.before), mode.quality(scores.after))
    words = {
        findings.Change.BETTER: "▲ improved",
        findings.Change.WORSE: "▼ got worse",
        findings.Change.TOO_FEW: "= too few prompts to tell",
    }
    classes = {findings.Change.BETTER: "better", findings.Change.WORSE: "worse"}
    return {
        "sentence": findings.sentence(run),
        "caveats": findings.caveats(run),
        "moved_word": words.get(moved, "= no clear change"),
        "min_groups": MIN_GROUPS,
        "moved_class": classes.get(moved, "same"),
        "quality_name": findings.quality_name(mode),
        "tiles": list(_tiles(report)),
        "ceiling": report.ceiling,
        "certificate": report.certificate,
    }


def _tiles(report: Report) -> Iterator[dict[str, Any]]:
    mode = report.run.config.mode
    for split, scores in comparison.measured(report.run.evaluation):
        before, after = mode.quality(scores.before), mode.quality(scores.after)
        drawn = strip(before, after, f"{findings.quality_name(mode)} on the {split} split")
        cell = comparison.Cell(before=before, after=after, strip=drawn)
        yield {"split": split, "meant": findings.MEANT[split], "cell": cell}


def _asked(report: Report) -> dict[str, Any]:
    """Return what the page says of the question, the splits and where the run comes from."""
    run, domain, config = report.run, report.domain, report.run.config
    splits = comparison.measured(run.evaluation)
    wordings: dict[Split, str] = {
        split: next((task.wordings[split][0] for task in domain.tasks.values() if task.wordings.get(split)), "")
        for split, _ in splits
    }
    is_embedded = config.model in (None, EMBEDDED)
    return {
        "run": run,
        "config": config,
        "evaluation": run.evaluation,
        "domain": domain,
        "rulebook": report.rulebook,
        "splits": splits,
        "split_names": [split for split, _ in splits],
        "meant": findings.MEANT,
        "wordings": wordings,
        "test_tasks": [task.english for task in domain.tasks.values() if task.split == "test"],
        "is_embedded": is_embedded,
        "model": "the embedded base model" if is_embedded else config.model,
        "world_words": WORLDS[WorldKind(config.world)],
        "ending_words": ENDINGS[config.ending],
        "otherwise_words": OTHERWISE[config.otherwise],
        "settings": list(_flat(config.model_dump(mode="json"))),
        "coverage": report.coverage,
        "observed": {
            split: [name for name, rule in scores.after.rules.items() if rule.observed] for split, scores in splits
        },
    }


def _shown(report: Report) -> dict[str, Any]:
    """Return what the page shows as tables, pictures and answers."""
    run, evaluation, rulebook = report.run, report.run.evaluation, report.rulebook
    exhibitor = Exhibitor(run, report.domain, rulebook)
    hardest = evaluation.splits[findings.hardest_split(run)]
    return {
        "rules": list(comparison.rules(evaluation, rulebook)),
        "measures": list(comparison.measures(evaluation)),
        "baselines": comparison.baselines(evaluation.baselines, run.config.mode),
        "memorised": list(comparison.memorised(evaluation, run.config.mode)),
        "episodes": list(comparison.episodes(evaluation.drive)) if evaluation.drive else [],
        "driven_rules": list(comparison.driven_rules(evaluation.drive, rulebook)) if evaluation.drive else [],
        "undisturbed": comparison.undisturbed_rules(evaluation.drive, rulebook) if evaluation.drive else [],
        "curves": list(_curves(run.training)),
        "examples": [
            (example, exhibitor.show(example.before), exhibitor.show(example.after)) for example in evaluation.examples
        ],
        "violations": [_violation(violation, exhibitor, report) for violation in evaluation.violations],
        "broken": findings.broken_rules(hardest),
    }


def _violation(
    violation: Violation, exhibitor: Exhibitor, report: Report
) -> tuple[Violation, str, WitnessView | None, str]:
    gates = {gate.name: gate.formula for gate in violation.verdict.gates}
    meaning = exhibitor.meaning(violation.rule, gates.get(violation.rule, ""))
    gif = violation.replay.gif if violation.replay else None
    replay = f"data:image/gif;base64,{base64.b64encode(report.run.replay(gif)).decode()}" if gif else ""
    return violation, meaning, exhibitor.witness(violation), replay


def _curves(rows: tuple[TrainingRow, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield name, words and drawing of each quantity that was logged; steps are counted through all rounds."""
    steps = list(_running_steps(rows))
    breaks = tuple(
        step for step, row, last in zip(steps, rows, (None, *rows), strict=False) if last and row.round != last.round
    )
    for field, name, words in CURVES:
        values = ((step, getattr(row, field)) for step, row in zip(steps, rows, strict=True))
        drawn = curve(Series(name, tuple((step, value) for step, value in values if value is not None), breaks))
        if drawn:
            yield name, words, drawn


def _running_steps(rows: Iterable[TrainingRow]) -> Iterator[float]:
    done, last = 0, None
    for row in rows:
        if last is not None and row.round != last.round:
            done += last.step
        last = row
        yield float(done + row.step)


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings of a run, nested ones under dotted names, without what the page shows elsewhere."""
    for name, entry in value.items():
        if prefix or name not in ("versions", "worlds"):
            if isinstance(entry, dict):
                yield from _flat(entry, f"{prefix}{name}.")
            else:
                yield prefix + name, ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)
