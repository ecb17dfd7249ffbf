"""Verify a controller, and read how it breaks a rule."""

from verilora import load_domain, verify_text

STEPS = """1. observe car from left
2. if no car from left, turn right
3. go to step 1"""

domain = load_domain("driving")
english = domain.vocabulary.english
sentences = {rule.id: rule.english for rule in domain.rulebook().rules}
verdict = verify_text(STEPS, domain, "right-at-traffic-light")
print(f"compliance {verdict.compliance or 0:.0%}, gates {'kept' if verdict.gates_kept else 'failed'}")
for rule in verdict.rules:
    if rule.witness:
        print(f"\n{rule.rule_id} is violated: {sentences[rule.rule_id]}")
        for moment in rule.witness.prefix:
            case = ", ".join(english[name] for name in moment.propositions) or "nothing"
            print(f"  step {moment.steps[-1]}: {case} -> {english[moment.action]}")
        if rule.witness.cycle:
            print(f"  and then {len(rule.witness.cycle)} instants, over and over")
