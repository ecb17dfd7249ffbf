"""What changed since a certificate was issued: what it depends on, and what was counted."""

from dataclasses import dataclass

from ..records.digests import DomainDigests
from .certificate import BaseDigests, Certificate, CertifiedSampling, Count


@dataclass(frozen=True, slots=True)
class Fallen:
    """A share that lies below what was certified, by more than both intervals."""

    name: str
    then: Count
    now: Count


def changes(
    certificate: Certificate, domain: DomainDigests, base: BaseDigests, sampling: CertifiedSampling
) -> list[str]:
    """Return what a certificate depends on and is no longer what it was, a name each; the adapter aside."""
    found = {
        "the base model": certificate.base.digest != base.digest,
        "its tokenizer": certificate.base.tokenizer_digest != base.tokenizer_digest,
        f"the device (was {certificate.sampling.device}, is {sampling.device})": (
            certificate.sampling.device != sampling.device
        ),
    }
    then = DomainDigests(
        rulebook=certificate.rulebook_digest, tasks=certificate.tasks_digest, worlds=certificate.worlds
    )
    return [*(name for name, is_changed in found.items() if is_changed), *domain.changed_from(then)]


def fallen(then: Certificate, now: Certificate) -> list[Fallen]:
    """Return the certified shares that fell; rules that only one of the certificates judges are left out."""
    pairs = {
        "gates": (then.counts.gates, now.counts.gates),
        "all kept": (then.counts.all_kept, now.counts.all_kept),
        **{
            name: (rule, now.counts.rules[name]) for name, rule in then.counts.rules.items() if name in now.counts.rules
        },
    }
    return [Fallen(name, before, after) for name, (before, after) in pairs.items() if after.high < before.low]
