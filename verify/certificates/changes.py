"""What changed since a certificate was issued: what it depends on, and what was counted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.rulebook import Rulebook
from ..records.by_prompt import change_by_group
from ..records.digests import CERTIFICATE, DomainDigests
from .certificate import Certificate
from .content import BaseDigests
from .counting import prompts_of
from .counts import Count
from .format_1 import OldCertificate, OldCount


@dataclass(frozen=True, slots=True)
class Fallen:
    """A share that lies below what was certified, by more than the interval of the change."""

    name: str
    then: Count | OldCount
    now: Count


def changes(
    certificate: Certificate | OldCertificate, rulebook: str, domain: DomainDigests, base: BaseDigests
) -> list[str]:
    """Return what a certificate depends on and is no longer what it was, a name each; the adapter aside.

    `rulebook` is the name of the one that answers are judged by now.
    """
    found = {
        "the base model": certificate.base.digest != base.digest,
        "its tokenizer": certificate.base.tokenizer_digest != base.tokenizer_digest,
        f"the rulebook's name (was {certificate.rulebook}, is {rulebook})": certificate.rulebook != rulebook,
    }
    then = DomainDigests(
        rulebook=certificate.rulebook_digest,
        tasks=certificate.tasks_digest,
        worlds=certificate.worlds,
        recordings=getattr(certificate, "recordings", {}),
    )
    return [*(name for name, is_changed in found.items() if is_changed), *domain.changed_from(then)]


def check_prompts(certificate: Certificate, domain: Domain, rulebook: Rulebook) -> None:
    """Raise InputError unless a certificate counts answers to just the prompts that its sampling asks, under the book.

    Nor may it hold other waivers than the book.

    Only for a domain that has not changed since.
    """
    asked = Counter(prompts_of(domain, certificate.sampling))
    counted = {(prompt.task, prompt.wording): prompt.num_answers for prompt in certificate.counts.prompts}
    for prompt in {**asked, **counted}:
        if asked[prompt] != counted.get(prompt, 0):
            message = f"got {counted.get(prompt, 0)} answers to {prompt[1]!r} ({prompt[0]}), expected {asked[prompt]}"
            raise InputError(CERTIFICATE, message, field="counts.prompts")
    known = {rule.id for rule in rulebook.rules}
    if unknown := [name for name in certificate.counts.rules if name not in known]:
        raise InputError(CERTIFICATE, expected_one_of(unknown[0], known), field="counts.rules")
    if certificate.waivers != rulebook.waivers:
        got, expected = ([waiver.rule for waiver in found] for found in (certificate.waivers, rulebook.waivers))
        message = f"got {got}, expected those of the rulebook {rulebook.name}, {expected}"
        raise InputError(CERTIFICATE, message, field="waivers")


def fallen(then: Certificate | OldCertificate, now: Certificate) -> list[Fallen]:
    """Return the certified shares that fell; rules that only one of the certificates judges are left out.

    On the same prompts they are compared one by one; on others, and with format 1, by intervals that do not meet.
    """
    is_paired = isinstance(then, Certificate) and then.counts.prompts == now.counts.prompts
    return [
        Fallen(name, before, after)
        for name, before, after in _pairs(then, now)
        if (_fell_by_prompt(before, after) if is_paired else _fell(before, after))
    ]


def no_longer_judged(then: Certificate | OldCertificate, now: Certificate) -> list[str]:
    """Return the rules that were certified and are not judged any more."""
    return [name for name in then.counts.rules if name not in now.counts.rules]


def _pairs(then: Certificate | OldCertificate, now: Certificate) -> Iterator[tuple[str, Count | OldCount, Count]]:
    yield "gates", then.counts.gates, now.counts.gates
    if isinstance(then, Certificate) and then.counts.measured_timely and now.counts.measured_timely:
        yield "timely (measured)", then.counts.measured_timely, now.counts.measured_timely
    yield "all kept", then.counts.all_kept, now.counts.all_kept
    for name, rule in then.counts.rules.items():
        if name in now.counts.rules:
            yield name, rule, now.counts.rules[name]


def _fell_by_prompt(before: Count | OldCount, after: Count) -> bool:
    assert isinstance(before, Count)
    moved = change_by_group(before.groups, after.groups)
    return moved is not None and moved[1] < 0


def _fell(before: Count | OldCount, after: Count) -> bool:
    return before.low is not None and after.high is not None and after.high < before.low
