"""The grammar of steps in the canonical words of a vocabulary, as text that xgrammar reads."""

from collections.abc import Iterable, Iterator

from ...specs.vocabulary import Vocabulary, Word
from .steps import MAX_DEPTH, MAX_STEPS, MIN_STEPS


def step_grammar(vocabulary: Vocabulary, max_steps: int = MAX_STEPS) -> str:
    """Return a grammar that accepts whatever `print_steps` writes, and nothing that `parse_steps` refuses.

    A program of n steps jumps to steps 1 to n only, so each number of steps has rules of its own. A response whose
    jumps take no time for ever is accepted, and refused only when the controller is built.
    """
    lengths = range(MIN_STEPS, max_steps + 1)
    lines = [f"root ::= {' | '.join(f'program{length}' for length in lengths)}"]
    lines += (line for length in lengths for line in _program(length))
    lines += (line for depth in range(MAX_DEPTH + 1) for line in _condition(depth))
    lines.append(f"proposition ::= {_phrases(vocabulary.propositions)}")
    lines.append(f"action ::= {_phrases(vocabulary.actions)}")
    return "\n".join(lines)


def _program(length: int) -> Iterator[str]:
    numbered = r' "\n" '.join(f'"{number}. " step{length}' for number in range(1, length + 1))
    yield f"program{length} ::= {numbered}"
    yield (
        f'step{length} ::= "observe " proposition (" and " proposition)* | branch{length} '
        f'| "if " condition0 ", " branch{length} (", otherwise " (branch{length} | "stay"))? '
        f'| "wait until " condition0 (" then " action)?'
    )
    targets = " | ".join(f'"{number}"' for number in range(1, length + 1))
    yield f'branch{length} ::= action | "go to step " ({targets})'


def _condition(depth: int) -> Iterator[str]:
    """Yield the rules of a condition inside so many parentheses; the parser bounds how deep they nest."""
    term = f"term{depth}"
    yield f'condition{depth} ::= {term} (" and " {term})* | {term} (" or " {term})+'
    inner = f' | ("not ")? "(" condition{depth + 1} ")"' if depth < MAX_DEPTH else ""
    yield f'{term} ::= ("no ")? proposition{inner}'


def _phrases(words: Iterable[Word]) -> str:
    return " | ".join(f'"{word.english}"' for word in words)
