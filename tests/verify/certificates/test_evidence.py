from pathlib import Path

import pytest

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.verify.certificates.evidence import changed_files, evidence_of
from verilora.verify.verdicts.verifier import Verifier

from controllers import BEFORE, YIELDING

PROMPTS = (("right-at-traffic-light", "Turn right"), ("right-at-traffic-light", "Go right"))


def test_it_changes_with_what_was_answered_and_found(driving: Domain, tmp_path: Path) -> None:
    verifier = Verifier(driving, driving.rulebook())
    texts = (BEFORE, YIELDING)
    verdicts = [verifier.verify_text(text, driving.task(PROMPTS[0][0])) for text in texts]
    found = evidence_of(PROMPTS, texts, verdicts, {})
    assert evidence_of(PROMPTS, texts, verdicts, {}) == found
    swapped = evidence_of(PROMPTS, texts[::-1], verdicts[::-1], {})
    assert swapped.answers != found.answers
    assert swapped.verdicts != found.verdicts
    assert evidence_of(PROMPTS[::-1], texts, verdicts, {}).answers != found.answers
    with pytest.raises(ValueError, match="shorter"):
        evidence_of(PROMPTS, texts[:1], verdicts, {})


def test_files_that_changed_or_went_are_named(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    paths = {name: tmp_path / name for name in ("samples.jsonl", "evaluation/after-1.jsonl", "verdicts.jsonl")}
    for path in paths.values():
        path.write_text("{}\n")
    evidence = evidence_of((), (), (), paths)
    assert changed_files(evidence, tmp_path) == []
    paths["samples.jsonl"].write_text("[]\n")
    paths["evaluation/after-1.jsonl"].unlink()
    assert changed_files(evidence, tmp_path) == ["samples.jsonl", "evaluation/after-1.jsonl (gone)"]
    with pytest.raises(InputError, match="cannot be read: No such file"):
        evidence_of((), (), (), paths)


@pytest.mark.parametrize("name", ["/etc/passwd", "../samples.jsonl", "evaluation/../../x"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    evidence = evidence_of((), (), (), {}).model_copy(update={"files": {name: "0" * 64}})
    with pytest.raises(InputError, match=r"evidence\.files: got '.*', expected a file of the run's directory"):
        changed_files(evidence, tmp_path)
