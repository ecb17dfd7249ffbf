import pytest

from verilora.serving.commands.foreign_options import REASONS, refuse_foreign
from verilora.specs.files.errors import InputError

from command_line import run_main

KNOWN = ("--model", "--max-num-seqs")


@pytest.mark.parametrize(("option", "reason"), REASONS.items())
def test_what_other_servers_have_is_refused_with_its_reason(option: str, reason: str) -> None:
    for arguments in ([option, "8"], [f"{option}=8"]):
        with pytest.raises(InputError) as refusal:
            refuse_foreign(arguments, KNOWN)
        assert str(refusal.value) == f"{option}: not supported: {reason}"


def test_what_nobody_has_is_refused_with_the_closest_name() -> None:
    with pytest.raises(
        InputError, match=r"option: got '--max-num-seq', expected one of .* \(did you mean '--max-num-seqs'"
    ):
        refuse_foreign(["--max-num-seq", "3"], KNOWN)
    with pytest.raises(InputError, match="got 'more', expected options only"):
        refuse_foreign(["more"], KNOWN)
    refuse_foreign([], KNOWN)


@pytest.mark.parametrize(
    "arguments", [["--quantization", "awq"], ["--tensor-parallel-size=2"], ["--max-num-sequences", "2"]]
)
def test_the_command_refuses_them(arguments: list[str]) -> None:
    code, _, err = run_main("serve", *arguments)
    assert code == 2
    assert arguments[0].partition("=")[0] in err
