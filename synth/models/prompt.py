"""Prompts: how a language model is asked for steps, to repair steps, and to say steps in the vocabulary."""

from collections.abc import Iterable
from enum import StrEnum

from ...specs.domain import Domain
from ..controllers.condition import Atom, Junction
from ..controllers.controller import Ending, Otherwise, Reading
from ..controllers.steps import MAX_STEPS, MIN_STEPS, Act, GoTo, If, Observe, Stay, print_steps

Message = dict[str, str]
# Alternates between user and assistant, and ends with the user.
Conversation = tuple[Message, ...]
_READ_AS_WRITTEN = Reading()
_GRAMMAR = f"""Write {MIN_STEPS} to {MAX_STEPS} lines, numbered from 1, and nothing else. Each line is one of:
  observe PROPOSITION and PROPOSITION
  ACTION
  if CONDITION, ACTION
  if CONDITION, ACTION, otherwise ACTION
  if CONDITION, ACTION, otherwise stay
  wait until CONDITION
  wait until CONDITION then ACTION
  go to step NUMBER
"go to step NUMBER" may also stand where an ACTION follows a CONDITION or "otherwise".
A CONDITION is PROPOSITION, "no PROPOSITION", or several of these joined by "and" or by "or"; where both occur, one of
them stands in parentheses."""


class PromptStyle(StrEnum):
    """How much is said: the wording of a task alone, for a model trained to answer it, or all that there is to know."""

    PLAIN = "plain"
    FULL = "full"


class Prompter:
    """Writes the conversations of a domain. `reading` is how the answers will be read, which a full prompt explains."""

    def __init__(self, domain: Domain, style: PromptStyle, reading: Reading = _READ_AS_WRITTEN) -> None:
        self.vocabulary = domain.vocabulary
        self.style = style
        self.reading = reading

    def ask(self, wording: str) -> Conversation:
        """Return the question for steps."""
        if self.style is PromptStyle.PLAIN:
            return (_user(wording),)
        return (_user(f"Write a controller as numbered steps for this task: {wording}\n\n{self._manual()}"),)

    def repair(self, wording: str, steps: str, feedback: str) -> Conversation:
        """Return the question for better steps, given an answer and what is wrong with it (`feedback.py`)."""
        return (*self.ask(wording), {"role": "assistant", "content": steps}, _user(feedback))

    def ask_freely(self, wording: str) -> Conversation:
        """Return the question for steps in any words, the first of the paper's two (Yang et al., section 4)."""
        return (_user(f'Steps for "{wording}":'),)

    def align(self, wording: str, free_steps: str) -> Conversation:
        """Return the question to say free steps in the vocabulary, the second of the paper's two."""
        task = f"These steps are for this task: {wording}\n\n{free_steps}\n\n"
        return (_user(f"{task}Rephrase them so that they use these propositions and actions.\n\n{self._manual()}"),)

    def _manual(self) -> str:
        words = self.vocabulary
        return "\n".join(
            (
                f"Propositions: {_list(word.english for word in words.propositions)}.",
                f"Actions: {_list(word.english for word in words.actions)}.",
                _GRAMMAR,
                *self._meaning(),
                "An example that shows the form, not a solution:",
                self._example(),
            )
        )

    def _meaning(self) -> tuple[str, ...]:
        idle = self.vocabulary.english[self.vocabulary.idle]
        stays = self.reading.otherwise is Otherwise.STAY
        omitted = "the controller stays at the step" if stays else "the next step follows"
        ends = self.reading.ending is Ending.ONE_SHOT
        end = f'the action is "{idle}" for ever' if ends else "step 1 follows again"
        return (
            f'While the controller observes, waits or stays, its action is "{idle}".',
            "A line takes one unit of time, except for going to a step; what was observed can have changed since.",
            f'Without "otherwise", {omitted} if the condition is false. After the last line {end}.',
        )

    def _example(self) -> str:
        """Return steps of many forms in the words of the domain."""
        words = self.vocabulary
        first, second = words.proposition_ids[0], words.proposition_ids[-1]
        action = next(name for name in words.action_ids if name != words.idle)
        condition = Junction("and", (Atom(first), Atom(second, negated=True)))
        steps = (
            Observe((first, second)),
            If(condition, Act(action), Stay()),
            If(Atom(second), GoTo(1), Act(words.idle)),
        )
        return print_steps(steps, words)


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _list(phrases: Iterable[str]) -> str:
    return ", ".join(phrases)
