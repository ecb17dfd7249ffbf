"""Recorded waits made up for tests."""

from verilora.specs.learned_world import LABELS
from verilora.specs.recorded_waits import FORMAT, RecordedWaits, RecordingSet, Wait, pack
from verilora.specs.vocabulary import Vocabulary


def wait(
    vocabulary: Vocabulary,
    *seconds: str,
    after: str | None = None,
    roll: int = 0,
    seed: int = 1,
    recordings: RecordingSet = RecordingSet.REPORT,
) -> Wait:
    """Return a wait; a second is told by the propositions that are true, with spaces between."""
    bits = {name: 1 << bit for bit, name in enumerate(vocabulary.proposition_ids)}
    letters = [sum(bits[name] for name in second.split()) for second in seconds]
    line = 1 if after is None else 2
    return Wait(recordings=recordings, seed=seed, line=line, after=after, roll=roll, labels=pack(letters))


def waits_of(vocabulary: Vocabulary, *waits: Wait, world: str = "wide_median") -> RecordedWaits:
    """Return waits as the content of a file."""
    return RecordedWaits(
        format=FORMAT,
        labels=LABELS,
        world=world,
        propositions=vocabulary.proposition_ids,
        waits=waits,
        provenance={},
    )
