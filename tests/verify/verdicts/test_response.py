from pathlib import Path

import pytest

from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.controller import Reading
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.verdicts.response import read_controller, read_response

HOA = """HOA: v1
States: 1
Start: 0
AP: 1 "stop"
acc-name: all
Acceptance: 0 t
--BODY--
State: 0
[@go] 0
--END--
"""


@pytest.mark.parametrize("above", ["", "Task: t\n", "\n\n Task: t\n", "task : t\r\n\n", "\ufeffTask: t\n", "\n\n"])
@pytest.mark.parametrize(
    ("text", "place", "line"), [(HOA, "<string>:{}.2-4:", 9), ("1. stop\n3. stop\n", "line {}:", 2)]
)
def test_lines_are_those_of_the_file(
    above: str, text: str, place: str, line: int, driving: Domain, tmp_path: Path
) -> None:
    path = tmp_path / "response.txt"
    path.write_bytes((above + text).encode())
    response = read_response(str(path))
    assert response.task_id == ("t" if "ask" in above else None)
    with pytest.raises(InvalidController) as caught:
        read_controller(response.text, Alignment(driving.vocabulary), Reading())
    assert place.format(line + above.count("\n")) in str(caught.value)


def test_empty_lines_between_steps_count(driving: Domain) -> None:
    with pytest.raises(InvalidController, match=r"line 4: expected a step that starts with '2.'"):
        read_controller("1. stop\n\n\nstop", Alignment(driving.vocabulary), Reading())
