"""The cut of a prompt and the flush of ring pages."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.cache.cache_cut import CutBudget, CutStep, cut, flush, kept_tokens
from verilora.kernels.cache.cache_move import (
    cache_errors,
)
from verilora.kernels.cache.eviction import eviction
from verilora.kernels.cache.eviction_step import EvictionRule, EvictionStep
from verilora.kernels.cache.kv_pages import PAGE_SIZE, page_slots, read_pages, read_plane

from caches import filled_cache, page_table, poisoned_pages, relative_error

RULE = EvictionRule(alpha=0.5)


def cut_case(device: str, num_tokens: int, num_kv_heads: int, budget: CutBudget) -> tuple[Any, ...]:
    source, table, _ = filled_cache(
        "full", [num_tokens], num_kv_heads, 64, dtype=torch.float32, device=device, has_side_planes=True
    )
    assert source.scores is not None
    source.scores.uniform_()
    target_table = page_table([budget.total], seed=3)[0].to(device)
    target = poisoned_pages("int4", len(target_table) + 1, num_kv_heads, 64, device=device, has_side_planes=True)
    return source, table[0], target, target_table


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_cut_keeps_what_the_rule_keeps(device: str) -> None:
    """Against plain selections a head at a time."""
    budget = CutBudget(heavy=20, hitters=30, recent=15)
    source, table, target, target_table = cut_case(device, 300, 2, budget)
    rule = EvictionRule(alpha=0.5, num_pinned=4)
    step = CutStep(source_table=table, target_table=target_table, num_tokens=300, budget=budget, rule=rule)
    ranges = cut(step, source, target)
    positions = read_plane(target.positions, target_table[None])[0].cpu()
    scores = read_plane(source.scores, table[None])[0, :, :300].cpu()
    slots = page_slots(table.long())[:300, None]
    errors = cache_errors(source, slots.expand(-1, 2), "int4").cpu()
    low, high = errors.amin((1, 2), keepdim=True), errors.amax((1, 2), keepdim=True)
    assert relative_error(ranges.cpu(), torch.cat([low, high], 2).reshape(1, 4)) < 1e-6
    friendly = 1 - ((errors - low) / (high - low)).sum(0).T / 2
    combined = 0.5 * (scores - scores.min()) / (scores.max() - scores.min()) + 0.5 * friendly
    for head in range(2):
        old = set(range(4, 285))
        fixed = set(range(300)) - old
        heavy = set(sorted(old, key=lambda token: -scores[head, token])[:20])
        left = 65 - 20 - len(fixed)
        hitters = set(sorted(old - heavy, key=lambda token: -combined[head, token])[:left])
        assert positions[head, :65].tolist() == sorted(fixed | heavy | hitters)
    assert (positions[:, 65:] == -1).all()


def test_what_was_cut_holds_the_tokens_it_names() -> None:
    budget = CutBudget(heavy=20, hitters=30, recent=15)
    source, table, target, target_table = cut_case("cpu", 300, 2, budget)
    cut(
        CutStep(source_table=table, target_table=target_table, num_tokens=300, budget=budget, rule=RULE), source, target
    )
    positions = read_plane(target.positions, target_table[None])[0, :, :65].long()
    for read, whole in zip(read_pages(target, target_table[None]), read_pages(source, table[None]), strict=True):
        expected = whole[0].gather(1, positions[..., None].expand(-1, -1, 64))
        assert relative_error(read[0, :, :65], expected) < 0.095
    kept = read_plane(target.scores, target_table[None])[0, :, :65]
    assert torch.equal(kept, read_plane(source.scores, table[None])[0].gather(1, positions))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_tokens": 64}, "budget, got 65, expected at most 64 tokens"),
        ({"target_table": torch.arange(2).int()}, "expected at most 300 tokens and the target's 64 slots"),
        ({"budget": CutBudget(heavy=0, hitters=0, recent=0)}, "budget, got 0"),
        ({"source_table": torch.arange(9).int()}, "source_table, got 9 pages"),
    ],
)
def test_a_cut_beyond_prompt_or_pages_is_refused(change: dict[str, Any], message: str) -> None:
    budget = CutBudget(heavy=20, hitters=30, recent=15)
    tables = {"source_table": torch.arange(10).int(), "target_table": torch.arange(3).int()}
    step = CutStep(**tables, num_tokens=300, budget=budget, rule=RULE)
    with pytest.raises(ValueError, match=message):
        replace(step, **change)


def test_without_friendliness_h2o_is_cut() -> None:
    scores = torch.rand(2, 100)
    kept = kept_tokens(scores, torch.rand(2, 100), CutBudget(heavy=0, hitters=20, recent=10), EvictionRule(alpha=1.0))
    for head in range(2):
        heavy = scores[head, :90].topk(20).indices.tolist()
        assert kept[head].tolist() == sorted([*heavy, *range(90, 100)])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_flush_overwrites_the_victims_and_nothing_else(device: str) -> None:
    target, table, lens = filled_cache("int4", [100, 90, 70], 2, 64, device=device, has_side_planes=True)
    ring, ring_table, _ = filled_cache("full", [32, 32, 32], 2, 64, seed=5, device=device, has_side_planes=True)
    assert target.scores is not None
    assert ring.positions is not None
    target.scores.uniform_()
    ring.positions.add_(1000)
    due = lens.masked_fill(torch.tensor([False, True, False], device=device), 0)
    parts = {name: torch.full_like(lens, value) for name, value in (("seen", 132), ("heavy", 5), ("recent", 32))}
    victims = eviction(EvictionStep(table=table, lens=due, rule=RULE, count=PAGE_SIZE, **parts), target)
    before = {name: plane.clone() for name, plane in target.planes().items()}
    ranges = torch.tensor([[0.1, 1.0, 0.1, 1.0]], device=device).expand(3, 4).contiguous()
    flush(ring, ring_table[:, 0].contiguous(), target, victims, error_ranges=ranges)
    assert target.positions is not None
    expected = read_pages(ring, ring_table)
    for i in range(3):
        for head in range(2):
            slots = victims[i, head].long()
            if i == 1:
                assert (slots == -1).all()
                continue
            page, offset = slots // PAGE_SIZE, slots % PAGE_SIZE
            assert target.positions[page, head, offset].tolist() == list(range(1000, 1032))
            for plane, whole in zip(read_pages(target, page[:, None]), expected, strict=True):
                read = plane[torch.arange(32, device=device), head, offset]
                assert relative_error(read, whole[i, head]) < 0.1
    untouched = torch.ones_like(target.positions, dtype=torch.bool)
    for head in range(2):
        slots = victims[:, head][victims[:, head] >= 0].long()
        untouched[slots // PAGE_SIZE, head, slots % PAGE_SIZE] = False
    for name in ("scores", "positions", "friendliness", "key_meta", "value_meta", "keys"):
        now, old = (planes[name][untouched].view(torch.uint8) for planes in (target.planes(), before))
        assert torch.equal(now, old), name
    values, old_values = target.values.transpose(-1, -2), before["values"].transpose(-1, -2)
    assert torch.equal(values[untouched], old_values[untouched])


@pytest.mark.gpu
def test_a_captured_flush_replays_with_other_victims() -> None:
    target, table, lens = filled_cache("int4", [100, 90], 2, 64, device="cuda", has_side_planes=True)
    ring, ring_table, _ = filled_cache("full", [32, 32], 2, 64, seed=5, device="cuda", has_side_planes=True)
    ranges = torch.tensor([[0.1, 1.0, 0.1, 1.0]], device="cuda").expand(2, 4).contiguous()
    parts = {name: torch.full_like(lens, value) for name, value in (("seen", 132), ("heavy", 5), ("recent", 32))}

    choice = EvictionStep(table=table, lens=lens, rule=RULE, count=PAGE_SIZE, **parts)

    def step() -> None:
        victims = eviction(choice, target)
        flush(ring, ring_table[:, 0], target, victims, error_ranges=ranges)

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    assert target.scores is not None
    target.scores.uniform_()
    ring.keys.normal_()
    lens[0] = 0
    before = {name: plane.clone() for name, plane in target.planes().items()}
    step()
    eager = {name: plane.clone() for name, plane in target.planes().items()}
    for name, plane in target.planes().items():
        plane.copy_(before[name])
    graph.replay()
    for name, plane in target.planes().items():
        assert torch.equal(plane.view(torch.uint8), eager[name].view(torch.uint8)), name
