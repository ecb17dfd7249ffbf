"""Feedback: what a language model is told about steps that were judged, so that it can write better ones."""

from collections.abc import Sequence

MAX_MOMENTS = 6
GOAL_MISSED = "This does not reach its goal."
PROGRESS_MISSED = "This stands idle for ever."
TOO_LATE = "This waits for what hardly ever comes."
# The propositions that hold at an instant, and the action given then, in words.
Told = tuple[Sequence[str], str]


def rule_broken(english: str) -> str:
    """Return the sentence that says which rule is broken."""
    return f"This breaks the rule: {_sentence(english)}"


def unreadable(reason: str) -> str:
    """Return the sentence that says why steps cannot be read."""
    return f"This cannot be read: {_sentence(reason)}"


def feedback_text(broken: str, moments: Sequence[Told] = ()) -> str:
    """Return the feedback of a repair turn, one line: a sentence on what is broken and the instants that show it.

    Raises ValueError for more than MAX_MOMENTS instants.
    """
    if len(moments) > MAX_MOMENTS:
        raise ValueError(f"expected at most {MAX_MOMENTS} moments, got {len(moments)}")
    told = "; ".join(f"{', '.join(propositions) or 'nothing'}: {action}" for propositions, action in moments)
    shown = f" Counterexample: {told}." if told else ""
    return f"{broken}{shown} Write the steps again."


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."
