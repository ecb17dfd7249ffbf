"""Victims against the reference, and the rule against the published one, step by step."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from verilora.kernels.cache.eviction import eviction, eviction_reference, launch_eviction
from verilora.kernels.cache.eviction_step import EvictionRule, EvictionStep
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVPages, page_slots, read_plane

from caches import page_table, poisoned_pages

QHITTER, H2O = EvictionRule(alpha=0.5), EvictionRule(alpha=1.0)
RULES = [
    pytest.param(QHITTER, id="qhitter"),
    pytest.param(H2O, id="h2o"),
    pytest.param(EvictionRule(alpha=0.5, is_log=True, num_pinned=4), id="qhitter, log, pinned"),
]


@dataclass
class Rows:
    """Sparse caches with scores and positions, and the parts of their budgets."""

    pages: KVPages
    table: torch.Tensor
    lens: torch.Tensor
    budget: dict[str, torch.Tensor]

    def victims(self, choose: Any, rule: EvictionRule, count: int) -> torch.Tensor:
        step = EvictionStep(table=self.table, lens=self.lens, rule=rule, count=count, **self.budget)
        chosen: torch.Tensor = choose(step, self.pages)
        return chosen


def random_rows(lens: list[int], num_kv_heads: int, device: str = "cpu", seed: int = 0) -> Rows:
    """Return rows with positions of a head's own, a few slots empty, and scores with ties."""
    table = page_table(lens, seed)
    pages = poisoned_pages("int4", table.numel() + 1, num_kv_heads, 64, has_side_planes=True)
    assert pages.scores is not None
    assert pages.friendliness is not None
    assert pages.positions is not None
    generator = torch.Generator().manual_seed(seed)
    pages.scores.copy_(torch.rand(pages.scores.shape, generator=generator) ** 4 * 50)
    pages.scores[pages.scores < 0.01] = 0.01
    pages.friendliness.copy_(torch.rand(pages.scores.shape, generator=generator))
    seen = torch.tensor([3 * length for length in lens])
    for i, length in enumerate(lens):
        for head in range(num_kv_heads):
            positions = torch.full((table.shape[1] * PAGE_SIZE,), -1, dtype=torch.int32)
            positions[:length] = torch.randperm(3 * length, generator=generator)[:length].int()
            positions[7:9] = -1
            used = table[i] >= 0
            pages.positions[table[i][used].long(), head] = positions.view(-1, PAGE_SIZE)[used]
    budget = {"seen": seen, "heavy": seen // 15, "recent": seen // 10}
    moved = {name: plane.to(device) for name, plane in pages.planes().items()}
    return Rows(
        replace(pages, **moved),
        table.to(device),
        torch.tensor(lens, device=device).int(),
        {name: each.int().to(device) for name, each in budget.items()},
    )


@pytest.mark.interpreter
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 5])
def test_the_kernel_chooses_as_its_reference(rule: EvictionRule, count: int) -> None:
    rows = random_rows([63, 0, 129, 9], 2)
    found = rows.victims(launch_eviction, rule, count)
    assert torch.equal(found, rows.victims(eviction_reference, rule, count))
    assert (found[1] == -1).all()
    assert (found[[0, 2], :, 0] >= 0).all()


@pytest.mark.parametrize("choose", [eviction_reference], ids=["reference"])
def test_empty_slots_go_first_and_pins_and_recents_never(choose: Any) -> None:
    rows = random_rows([40], 2)
    assert rows.pages.positions is not None
    rule = EvictionRule(alpha=0.5, num_pinned=30)
    found = rows.victims(choose, rule, 32)[0]
    for head in range(2):
        chosen = found[head][found[head] >= 0].long()
        positions = rows.pages.positions[chosen // PAGE_SIZE, head, chosen % PAGE_SIZE]
        assert (positions == -1).sum() == 2
        assert ((positions == -1) | ((positions >= 30) & (positions < 120 - 12))).all()


class Published:
    """The published rule in fp32 over whole token lists, one keep mask a head; knows nothing of slots."""

    def __init__(self, attention: torch.Tensor, friendliness: torch.Tensor, alpha: float, num_prompt: int) -> None:
        self.attention, self.friendliness, self.alpha = attention, friendliness, alpha
        self.heavy, self.recent = int(0.07 * num_prompt), int(0.05 * num_prompt)
        self.hitters = int((0.15 - 0.07) * num_prompt)
        self.keep = torch.ones_like(attention, dtype=torch.bool)

    def cut(self) -> None:
        """Keep the recent, the heavy by attention, and the hitters by the combined score of what is left."""
        kept = self.attention[self.keep]
        scaled = (self.attention - kept.min()) / (kept.max() - kept.min())
        combined = self.alpha * scaled + (1 - self.alpha) * self.friendliness
        for head in range(len(self.keep)):
            tokens = self.keep[head].nonzero()[:, 0]
            recent, old = tokens[-self.recent :], tokens[: -self.recent]
            heavy = old[self.attention[head, old].topk(self.heavy).indices]
            rest = old[~torch.isin(old, heavy)]
            hitters = rest[combined[head, rest].topk(self.hitters).indices]
            self.keep[head] = False
            self.keep[head, torch.cat([recent, heavy, hitters])] = True

    def step(self, logits: torch.Tensor, friendliness: torch.Tensor) -> None:
        """Take in a token with these attention logits over all tokens and itself."""
        self.attention = torch.cat([self.attention, torch.zeros(len(logits), 1)], 1)
        self.friendliness = torch.cat([self.friendliness, friendliness[:, None]], 1)
        self.keep = torch.cat([self.keep, torch.ones(len(logits), 1, dtype=torch.bool)], 1)
        self.attention += logits.masked_fill(~self.keep, -torch.inf).softmax(-1)
        self.cut()


def with_rule(alpha: float, num_prompt: int, num_steps: int, choose: Any, device: str) -> tuple[float, Published]:
    """Return the share of keep decisions in which slots that are overwritten agree with the published rule."""
    num_heads, total = 4, num_prompt + num_steps
    generator = torch.Generator().manual_seed(num_prompt)
    attention = torch.rand(num_heads, num_prompt, generator=generator) ** 6 * 4
    attention[:, 0] = 400.0
    logits = torch.randn(num_steps, num_heads, total, generator=generator) * 2
    friendliness = torch.rand(num_heads, total, generator=generator)
    published = Published(attention, friendliness[:, :num_prompt], alpha, num_prompt)
    published.cut()
    kept = published.keep.nonzero()[:, 1].view(num_heads, -1)
    capacity = kept.shape[1] + 1
    table = page_table([capacity]).to(device)
    pages = poisoned_pages("int4", table.numel() + 1, num_heads, 64, device=device, has_side_planes=True)
    scores, friendly, positions = pages.scores, pages.friendliness, pages.positions
    assert scores is not None
    assert friendly is not None
    assert positions is not None
    slots = page_slots(table[0].long().cpu())[:capacity]
    page, offset = (slots // PAGE_SIZE).to(device), (slots % PAGE_SIZE).to(device)
    for head in range(num_heads):
        scores[page[:-1], head, offset[:-1]] = attention[head, kept[head]].to(device)
        friendly[page[:-1], head, offset[:-1]] = friendliness[head, kept[head]].half().to(device)
        positions[page[:-1], head, offset[:-1]] = kept[head].int().to(device)
    free = slots[-1].to(device).expand(num_heads).long()
    heads = torch.arange(num_heads, device=device)
    lens = torch.tensor([capacity], device=device).int()
    agreed, decisions = 0, 0
    for step in range(num_steps):
        now = num_prompt + step
        scores[free // PAGE_SIZE, heads, free % PAGE_SIZE] = 0.0
        friendly[free // PAGE_SIZE, heads, free % PAGE_SIZE] = friendliness[:, now].half().to(device)
        positions[free // PAGE_SIZE, heads, free % PAGE_SIZE] = now
        held = read_plane(positions, table)[0, :, :capacity].long()
        weights = logits[step].to(device).gather(1, held).softmax(-1)
        scores[page, heads[:, None], offset] += weights
        budget = {"seen": now + 1, "heavy": published.heavy, "recent": published.recent}
        tensors = {name: torch.tensor([value], device=device).int() for name, value in budget.items()}
        choice = EvictionStep(table=table, lens=lens, rule=EvictionRule(alpha=alpha), **tensors)
        free = choose(choice, pages)[0, :, 0].long()
        published.step(logits[step, :, : now + 1], friendliness[:, now])
        given_up = positions[free // PAGE_SIZE, heads, free % PAGE_SIZE]
        keep = torch.zeros(num_heads, now + 1, dtype=torch.bool, device=device).scatter_(1, held, True)
        keep[heads, given_up.long()] = False
        either = published.keep | keep.cpu()
        agreed += int((published.keep & keep.cpu()).sum())
        decisions += int(either.sum())
    return agreed / decisions, published


def test_the_budget_of_the_published_code() -> None:
    published = Published(torch.rand(2, 1600), torch.rand(2, 1600), 0.5, 1600)
    assert (published.heavy, published.hitters, published.recent) == (112, 127, 80)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_64_steps_keep_what_the_published_rule_keeps(alpha: float) -> None:
    share, _ = with_rule(alpha, 1600, 64, eviction_reference, "cpu")
    assert share >= 0.999


@pytest.mark.interpreter
def test_steps_of_the_kernel_keep_what_the_published_rule_keeps() -> None:
    share, _ = with_rule(0.5, 400, 6, launch_eviction, "cpu")
    assert share >= 0.999


def test_without_friendliness_the_rule_is_h2o() -> None:
    """H2O gives up the least attention outside the recent window; a heavy guard changes nothing."""
    rows = random_rows([129, 63], 2)
    guarded = rows.victims(eviction_reference, H2O, 1)
    rows.budget["heavy"].zero_()
    assert torch.equal(rows.victims(eviction_reference, H2O, 1), guarded)
    assert rows.pages.scores is not None
    assert rows.pages.positions is not None
    rows.pages.positions[rows.pages.positions == -1] = 10**6
    bare = rows.victims(eviction_reference, H2O, 1)
    for i, length in enumerate(rows.lens.tolist()):
        scores = read_plane(rows.pages.scores, rows.table)[i, :, :length]
        positions = read_plane(rows.pages.positions, rows.table)[i, :, :length]
        is_old = positions < rows.budget["seen"][i] - rows.budget["recent"][i]
        least = scores.masked_fill(~is_old, torch.inf).argmin(1)
        assert torch.equal(
            bare[i, :, 0].long(), rows.table[i].long()[least // PAGE_SIZE] * PAGE_SIZE + least % PAGE_SIZE
        )


def test_what_cannot_be_chosen_from_is_refused() -> None:
    rows = random_rows([40], 2)
    with pytest.raises(ValueError, match="expected side planes"):
        replace(rows, pages=replace(rows.pages, scores=None)).victims(launch_eviction, H2O, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 32])
def test_real_shapes(rule: EvictionRule, count: int) -> None:
    rows = random_rows([1632, 0, 511, 8191], 8, "cuda")
    found = rows.victims(eviction, rule, count)
    expected = rows.victims(eviction_reference, rule, count)
    if rule.is_log:
        # Logarithms differ in their last bit, so near ties may fall the other way.
        assert (found == expected).float().mean() > 0.98
    else:
        assert torch.equal(found, expected)
    for _ in range(100):
        assert torch.equal(rows.victims(eviction, rule, count), found)
    alone = replace(
        rows, table=rows.table[2:3], lens=rows.lens[2:3], budget={n: b[2:3] for n, b in rows.budget.items()}
    )
    assert torch.equal(alone.victims(eviction, rule, count)[0], found[2])


@pytest.mark.gpu
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_64_steps_on_the_gpu_keep_what_the_published_rule_keeps(alpha: float) -> None:
    share, _ = with_rule(alpha, 1600, 64, eviction, "cuda")
    assert share >= 0.999


@pytest.mark.gpu
def test_a_captured_choice_replays_with_other_scores() -> None:
    rows = random_rows([1632, 0, 511], 8, "cuda")
    rows.victims(eviction, QHITTER, 32)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = rows.victims(eviction, QHITTER, 32)
    assert rows.pages.scores is not None
    rows.pages.scores.uniform_()
    rows.lens.copy_(torch.tensor([700, 300, 0]))
    rows.table[1] = rows.table[0].flip(0)
    rows.budget["heavy"].fill_(20)
    expected = rows.victims(eviction, QHITTER, 32)
    graph.replay()
    assert torch.equal(found, expected)
