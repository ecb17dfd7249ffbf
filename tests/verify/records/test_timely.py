import pytest

from verilora.verify.records.timely import LEAST, TimelyLine, TimelyStatus, TimelyVerdict, TimelyWitness, status_of


def line(reached: int, windows: int = 10, number: int = 1) -> TimelyLine:
    outcomes = [[place < reached] for place in range(windows)]
    witness = TimelyWitness(seed=1, second=0) if reached < windows else None
    return TimelyLine.counted(number, outcomes, 0, witness)


def verdict(*lines: TimelyLine, reference: float | None = 1.0) -> TimelyVerdict:
    status = status_of(lines)
    return TimelyVerdict(
        event="go", limit=60, premise="", recordings="report", status=status, lines=lines, reference=reference
    )


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), TimelyStatus.NO_RECORDINGS),
        ((line(0, 0),), TimelyStatus.NO_RECORDINGS),
        ((line(8),), TimelyStatus.REACHED),
        ((line(7),), TimelyStatus.NOT_REACHED),
        ((line(10), line(7, number=2)), TimelyStatus.NOT_REACHED),
        ((line(10), line(8, number=2)), TimelyStatus.REACHED),
    ],
)
def test_every_line_has_to_reach_the_share(lines: tuple[TimelyLine, ...], status: TimelyStatus) -> None:
    assert LEAST == 0.8
    assert status_of(lines) is status
    assert status.is_kept == (status is not TimelyStatus.NOT_REACHED)


def test_the_slowest_line_is_told() -> None:
    assert verdict(line(10), line(4, number=2)).share == 0.4
    assert verdict().share is None
    assert verdict(line(4)).model_dump(mode="json")["share"] == 0.4


def test_tenths_are_whole_and_no_more_than_the_reference_has() -> None:
    assert verdict(line(9)).tenths == 9
    assert verdict(line(99, 100)).tenths == 9
    assert verdict(line(100, 100)).tenths == 10
    assert verdict(line(100, 100), reference=0.93).tenths == 9
    assert verdict(line(85, 100), reference=0.93).tenths == 8
    assert verdict().tenths == 0


def test_windows_of_a_recording_that_resemble_each_other_are_no_separate_trials() -> None:
    alike = TimelyLine.counted(1, [[True] * 3] * 20 + [[False] * 3] * 20, 0, None)
    apart = TimelyLine.counted(1, [[True]] * 60 + [[False]] * 60, 0, None)
    assert alike.share == apart.share == 0.5
    assert alike.low is not None
    assert apart.low is not None
    assert alike.low < apart.low
    assert TimelyLine.counted(1, [[True, False]], 0, None).low is None


def test_a_file_is_read_as_it_was_written() -> None:
    found = verdict(line(10), line(4, number=2))
    assert TimelyVerdict.model_validate(found.model_dump(mode="json")) == found
