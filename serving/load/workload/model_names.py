"""The models that are asked for: by their names, by a pattern and a number, or all that a server offers."""

from collections.abc import Sequence

from ....specs.files.errors import InputError

PLACE = "{}"


def model_names(given: Sequence[str], number: int | None, offered: Sequence[str]) -> list[str]:
    """Return the models to ask for; raises InputError.

    `tenant-{}` and 3 are tenant-0, tenant-1 and tenant-2. Without names they are the first ones that the server offers.
    """
    is_pattern = len(given) == 1 and PLACE in given[0]
    if is_pattern:
        if number is None:
            raise InputError("--models", f"got the pattern {given[0]!r}, expected --num-models with it")
        return [given[0].replace(PLACE, str(index)) for index in range(number)]
    if given:
        if number is not None:
            raise InputError(
                "--num-models", f"got {number} with names, expected it with a pattern such as tenant-{PLACE}"
            )
        if twice := next((name for name in given if given.count(name) > 1), None):
            raise InputError("--models", f"got {twice!r} twice, expected each name once")
        return [*given]
    if number is not None and number > len(offered):
        raise InputError("--num-models", f"got {number}, expected at most the {len(offered)} that the server offers")
    if not offered:
        raise InputError("--models", "the server offers none: expected names")
    return [*offered[:number]]
