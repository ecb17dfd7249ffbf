"""Drive a controller in the simulator, and compare what happens with what the verdict says can happen."""

import sys

from verilora import drive, load_domain, verify_text

STEPS = """1. observe car from left
2. if no car from left, turn right
3. go to step 1"""
TASK = "right-at-traffic-light"


def main() -> int:
    """Return 1 if an episode breaks a rule that is kept by the verdict."""
    domain = load_domain("driving")
    verdict = verify_text(STEPS, domain, TASK)
    audit = drive(STEPS, domain, TASK, num_episodes=20)
    broken = {rule.rule_id: rule.violated for rule in audit.rules}
    print(f"{audit.num_arrived} of {audit.num_episodes} episodes arrived, {audit.num_crashed} crashed")
    for rule in verdict.deciding:
        print(f"{rule.rule_id:6} {rule.status.name.lower():9} broken in {broken[rule.rule_id]} episodes")
    return int(any(rule.status.is_kept and broken[rule.rule_id] for rule in verdict.deciding))


if __name__ == "__main__":
    sys.exit(main())
