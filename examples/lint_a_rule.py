"""Write a rule of one's own, and ask whether any controller can keep it beside the others."""

from verilora import Formula, Rule, lint, load_domain

domain = load_domain("driving")
considerate = Rule(
    id="considerate",
    formula=Formula("G(turn_right -> !pedestrian_in_front)"),
    english="The car never turns right while a pedestrian is in front.",
)
hasty = Rule(
    id="hasty",
    formula=Formula("G(green_traffic_light -> !stop)"),
    english="The car never stops while the traffic light is green.",
)
for rule in (considerate, hasty):
    book = domain.rulebook("default").extended(f"default and {rule.id}", rule)
    found = lint(domain, book, world="traffic_light")
    print(f"{rule.id}, {found.rules[-1].manna_pnueli_class}: {rule.english}")
    for problem in found.problems or ("fit for use: some controller keeps all rules, whatever the goal",):
        print(f"  {problem}")
