import pytest

from verilora.serving.load.workload.model_names import model_names
from verilora.specs.files.errors import InputError

OFFERED = ["base", "a", "b"]


@pytest.mark.parametrize(
    ("given", "number", "expected"),
    [
        ([], None, OFFERED),
        ([], 2, ["base", "a"]),
        (["x", "y"], None, ["x", "y"]),
        (["tenant-{}"], 3, ["tenant-0", "tenant-1", "tenant-2"]),
        (["{}-{}"], 1, ["0-0"]),
        (["{0.__class__}"], None, ["{0.__class__}"]),
    ],
)
def test_names(given: list[str], number: int | None, expected: list[str]) -> None:
    assert model_names(given, number, OFFERED) == expected


@pytest.mark.parametrize(
    ("given", "number", "offered"),
    [
        (["tenant-{}"], None, OFFERED),
        (["x", "y"], 2, OFFERED),
        (["x", "x"], None, OFFERED),
        ([], 4, OFFERED),
        ([], None, []),
    ],
)
def test_what_cannot_be(given: list[str], number: int | None, offered: list[str]) -> None:
    with pytest.raises(InputError, match="expected"):
        model_names(given, number, offered)
