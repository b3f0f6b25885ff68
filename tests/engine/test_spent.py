"""The cost record: what a run took, counted by the engine."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.outcome import Cost
from expunge.engine.spent import bytes_changed, cost_of, operations, peak_bytes, start_counting, together
from expunge.methods.gradient.npo import npo
from expunge.testing.toy import toy_model, toy_selection


def test_a_run_counts_its_operations_and_the_bytes_that_it_changed():
    target, selection = toy_model(seed=1), toy_selection()
    method = replace(npo, steps=2, epochs=0.0, batch_size=2, trainable=(r".*layers\.1\.mlp\.up_proj\.weight",))
    cost = method.unlearn(target, selection, seed=0).cost
    changed = target.facts.decoder_layers(target.model)[1].mlp.up_proj.weight
    assert 0 < cost.bytes_changed <= 4 * changed.numel()
    assert cost.flops == 6 * target.parameters * cost.tokens > 0, "the head is the embedding, and counts once"
    assert cost.peak_bytes == pytest.approx(peak_bytes(), rel=0.1)


def test_an_overlay_changes_no_byte():
    target = toy_model(seed=1)
    method = replace(npo, steps=1, epochs=0.0, batch_size=2, adapter=Adapter(r=2, alpha=4), keep_overlay=True)
    assert method.unlearn(target, toy_selection(), seed=0).cost.bytes_changed == 0


def test_weights_that_are_looked_up_alone_take_no_operations():
    target = toy_model(seed=1)
    whole = operations(target.model, 10)
    head = target.model.get_output_embeddings()
    head.weight = type(head.weight)(head.weight.clone())
    assert operations(target.model, 10) == whole


def test_costs_of_stages_add_up_and_their_peak_is_the_largest():
    one, two = toy_model(seed=1), toy_model(seed=2)
    costs = [Cost(1.5, 2, 30, 700, 90, 5), Cost(2.0, 3, 40, 800, 80, 6)]
    found = together(one, two, costs)
    assert (found.seconds, found.steps, found.tokens, found.flops, found.peak_bytes) == (3.5, 5, 70, 1500, 90)
    assert found.bytes_changed == bytes_changed(one.model, two.model) > 0
    assert cost_of(one, one, seconds=1.0, steps=1, tokens=1).bytes_changed == 0


def test_a_record_from_before_reads_as_it_was_written():
    old = {"seconds": "1.25", "steps": 3, "tokens": 40}
    assert Cost.read(old) == Cost(1.25, 3, 40)
    assert Cost.read(old).told() == {"seconds": 1.25, "steps": 3, "tokens": 40}
    new = Cost(1.25, 3, 40, 7, 8, 9)
    assert Cost.read(new.told()) == new


STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux")
def test_on_a_cpu_the_peak_is_the_high_water_mark_of_the_process():
    told = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_bytes() == pytest.approx(1024 * int(told.split()[1]), rel=0.1)


def test_on_a_gpu_a_run_does_not_count_what_was_held_before_it(monkeypatch):
    peak = {"bytes": 9_000_000}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak["bytes"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: peak.update(bytes=300))
    assert peak_bytes() == 9_000_000
    start_counting()
    assert peak_bytes() == 300
