"""How SGMV cuts its work, and what of it is refused."""

import pytest

from verilora.kernels.lora.sgmv_config import SgmvConfig


@pytest.mark.parametrize("change", [{"prefill_block": 48}, {"decode_splits": 0}, {"expand_prefill_stages": 0}], ids=str)
def test_other_configurations_are_refused(change: dict[str, int]) -> None:
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f"{name}, got {value}"):
        SgmvConfig(**change)


def test_splits_follow_the_width() -> None:
    config = SgmvConfig(shrink_decode_stages=3)
    assert [config.split_len(width, 256, "decode") for width in (600, 4096, 14336)] == [256, 256, 1024]
    assert config.split_len(600, 256, "prefill") == 2048
