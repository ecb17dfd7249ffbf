"""The projections of one fused product: which they are and how wide each is, checked once, when a model is loaded."""

from dataclasses import dataclass

from .page_layout import PROJECTIONS


@dataclass(frozen=True, slots=True)
class FusedProjections:
    """One to three projections side by side in an output, such as q|k|v or gate|up, in the order of PROJECTIONS."""

    names: tuple[str, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        first = PROJECTIONS.index(self.names[0]) if self.names and self.names[0] in PROJECTIONS else 0
        if self.names != PROJECTIONS[first : first + len(self.names)] or not 1 <= len(self.names) <= 3:
            raise ValueError(
                f"projections, got {self.names}, expected one to three that follow each other in {PROJECTIONS}"
            )
        if len(self.widths) != len(self.names) or min(self.widths) < 1:
            raise ValueError(f"widths, got {self.widths}, expected one for each of {self.names}")

    @property
    def first(self) -> int:
        """The number that items know the first projection by."""
        return PROJECTIONS.index(self.names[0])
