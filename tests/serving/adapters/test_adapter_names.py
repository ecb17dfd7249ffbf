import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.adapters.adapter_names import MAX_LEN, check_name

GOOD = ("fleet", "team/fleet", "a", "Llama-3.1-8B_v2:latest", "0", "a/b/c", "x" * MAX_LEN)
LORAX_798 = {
    "nothing": "",
    "dots": "..",
    "dots in a path": "../fleet",
    "dots within": "team/../fleet",
    "a dot": ".",
    "hidden": ".fleet",
    "hidden within": "team/.fleet",
    "absolute": "/etc/passwd",
    "a slash at the end": "fleet/",
    "two slashes": "team//fleet",
    "a backslash": "team\\fleet",
    "a zero byte": "fleet\0",
    "a line break": "fleet\n",
    "a space": "a fleet",
    "a home": "~fleet",
    "an option": "-fleet",
    "percents": "%2e%2e",
    "letters of other scripts": "flotté",
    "half of a surrogate pair": "\ud800",
    "right to left": "\u202efleet",
    "digits of other scripts": "٣",
    "too long": "x" * (MAX_LEN + 1),
    "an address": "https://example.org/fleet?x",
    "the base model's": "base",
}


@pytest.mark.parametrize("name", GOOD)
def test_good_names(name: str) -> None:
    check_name(name, "base")


@pytest.mark.parametrize("name", LORAX_798.values(), ids=LORAX_798)
def test_lorax_798_a_name_that_is_more_than_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        check_name(name, "base")
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 400


@given(st.text(alphabet=st.sampled_from("a./:-_\\\0\n é0"), max_size=12))
def test_no_good_name_goes_upwards_or_hides(name: str) -> None:
    try:
        check_name(name, "base")
    except ValueError:
        return
    assert all(part and part[0] not in ".-" for part in name.split("/"))
