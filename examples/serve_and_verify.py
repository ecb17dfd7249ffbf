"""Ask a server for controllers without and with an adapter, in words that training did not see, and verify them.

verilora serve --adapter driving=runs/NAME/adapter
python examples/serve_and_verify.py [http://127.0.0.1:8000]
"""

import sys
from statistics import mean

from openai import OpenAI

from verilora import Verifier, load_domain

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
client = OpenAI(base_url=f"{address}/v1", api_key="none")
domain = load_domain("driving")
task = domain.task("right-at-traffic-light")
verifier = Verifier(domain)
for model in ("base", "driving"):
    verdicts = []
    for wording in task.wordings["validation"]:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": wording}], max_tokens=160, n=16, seed=1
        )
        verdicts += [verifier.verify_text(choice.message.content or "", task) for choice in answer.choices]
    compliance, all_kept = mean(one.compliance or 0 for one in verdicts), sum(one.all_kept for one in verdicts)
    print(f"{model:8} compliance {compliance:.0%}, {all_kept} of {len(verdicts)} answers keep all rules")
