"""What `verilora verify` does."""

import json
from collections.abc import Sequence
from typing import Any

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.printable import complain
from ...specs.processes.deadline import Deadline
from ...specs.rulebook import Rulebook
from ..verdicts.horizon import HorizonScorer
from ..verdicts.response import read_response, task_of
from ..verdicts.settings import Settings
from ..verdicts.verifier import Verifier
from .render_verdict import render_scores, render_verdict
from .terminal import console


def verify_files(
    names: Sequence[str],
    domain: Domain,
    rulebook: Rulebook,
    settings: Settings,
    task_id: str | None,
    *,
    as_json: bool = False,
    strict: bool = False,
    within: int | None = None,
) -> int:
    """Verify files, print what was found and return the highest exit code; a file that cannot be used does not stop.

    With `within`, also the probability of each rule to be kept, pending or violated after that many seconds.
    """
    verifier = Verifier(domain, rulebook, settings)
    scorer = HorizonScorer(domain, rulebook, within, settings.time_limit) if within else None
    objects: list[dict[str, Any]] = []
    exit_codes = []
    for name in names:
        try:
            response = read_response(name)
            task = task_of(domain, response, task_id)
            deadline = Deadline(settings.deadline)
            verdict = verifier.verify_text(response.text, task)
        except InputError as error:
            complain(f"error: {error}")
            objects.append({"file": name, "error": str(error)})
            exit_codes.append(2)
            continue
        if not as_json:
            console().print(render_verdict(name, verdict, response.text, domain, rulebook))
        scored: dict[str, object] = {}
        if scorer and verdict.valid:
            scores = scorer.score(verifier.read(response.text), task, verdict, deadline)
            scored = {"within": scores}
            if not as_json:
                console().print(render_scores(scores, verdict, scorer.num_letters))
        objects.append({"file": name, **verdict.to_json(), **scored})
        exit_codes.append(verdict.exit_code(strict=strict))
    if as_json:
        print(json.dumps(objects, indent=2))
    return max(exit_codes)
