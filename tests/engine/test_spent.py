"""The cost record: what a run took, counted by the engine."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest
from expunge.core.certificate import issue
from expunge.core.counting import counting, tell
from expunge.core.outcome import Cost, averaged
from expunge.core.registry import methods
from expunge.core.request import Records, Request
from expunge.engine.spent import bytes_changed, cost_of, operations, peak, start_counting, together
from expunge.methods.exact.retrain import retrain
from expunge.methods.gradient.npo import npo
from expunge.testing.toy import toy_model, toy_selection, toy_store
from expunge.workflow.requests import unlearn_in_sequence


def test_a_run_counts_its_operations_and_the_bytes_that_it_changed():
    target, selection = toy_model(seed=1), toy_selection()
    method = replace(npo, steps=2, epochs=0.0, batch_size=2, trainable=(r".*layers\.1\.mlp\.up_proj\.weight",))
    cost = method.unlearn(target, selection, seed=0).cost
    changed = target.facts.decoder_layers(target.model)[1].mlp.up_proj.weight
    assert 0 < cost.bytes_changed <= 4 * changed.numel()
    assert cost.flops == 6 * target.parameters * cost.tokens > 0, "the head is the embedding, and counts once"
    assert cost.peak_bytes == pytest.approx(peak()[0], rel=0.1) and cost.peak_of == "process"


@pytest.mark.parametrize("name", ["layered_npo", "influence_unlearning"])
def test_methods_that_are_no_gradient_run_count_the_same(name):
    method = methods.get(name)
    inner = replace(method.method, steps=1, epochs=0.0, batch_size=2) if name == "layered_npo" else None
    method = replace(method, method=inner) if inner else replace(method, rounds=1, iterations=1, sample=2)
    target = toy_model(seed=1)
    cost = method.unlearn(target, toy_selection(), seed=0).cost
    assert cost.flops == 6 * target.parameters * cost.tokens > 0 and cost.bytes_changed > 0
    assert cost.peak_of == "process" and cost.peak_bytes > 0 and cost.seconds > 0


def test_requests_in_sequence_and_a_merged_adapter_each_have_a_cost_of_their_own():
    target, store = toy_model(seed=1), toy_store()
    method = replace(npo, steps=1, epochs=0.0, batch_size=2, adapter=Adapter(r=2, alpha=4))
    who = {e.subject: [o.record_id for o in store.all() if o.subject == e.subject] for e in toy_selection().forget}
    requests = [Request(subject=name, scope=Records(*ids), basis="test") for name, ids in who.items()]
    now, answers = target, unlearn_in_sequence(target, requests, method, store, seed=0)
    for answer in answers:
        cost, after = answer.outcome.cost, answer.outcome.target
        assert cost.flops == 6 * target.parameters * cost.tokens > 0 and cost.peak_of == "process"
        assert cost.bytes_changed == bytes_changed(now.model, after.model) > 0 and cost.seconds > 0
        now = after


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


@pytest.mark.parametrize("lacking", [{"flops": None}, {"peak_bytes": None, "peak_of": ""}])
def test_what_one_stage_did_not_count_is_not_counted_in_sum(lacking):
    target = toy_model(seed=1)
    whole = Cost(1.5, 2, 30, 700, 90, 5, "process")
    for costs in ([whole, replace(whole, **lacking)], [replace(whole, **lacking), whole]):
        found = together(target, target, costs)
        assert {name: getattr(found, name) for name in lacking} == lacking
        assert found.seconds == 3.0 and {found.flops, found.peak_bytes} & {1400, 90}


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
    held, whose = peak()
    assert held == pytest.approx(1024 * int(told.split()[1]), rel=0.1) and whose == "process"


def test_on_a_gpu_a_run_does_not_count_what_was_held_before_it(monkeypatch):
    held = {"bytes": 9_000_000}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: held["bytes"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: held.update(bytes=300))
    assert peak() == (9_000_000, "device")
    start_counting()
    assert peak() == (300, "device")


class Told:
    """A recipe that tells twice what a training took, or nothing."""

    kind = "causal_lm"

    def __init__(self, *tokens):
        self.tokens = tokens

    def train(self, store, *, seed, stage, workdir):
        for count in self.tokens:
            tell(seconds=100.0, steps=2, tokens=count)
        return toy_model(seed=2)

    def digest(self):
        return digest(list(self.tokens))


def test_a_retraining_costs_what_its_recipe_tells_and_its_seconds_alone_where_that_tells_nothing():
    target, selection = toy_model(seed=1), toy_selection()
    found = retrain.with_recipe(Told(30, 40)).unlearn(target, selection, seed=0).cost
    assert (found.seconds, found.steps, found.tokens) == (200.0, 4, 70), "with what a killed process had taken"
    assert found.flops == 6 * target.parameters * 70 and found.bytes_changed > 0
    silent = retrain.with_recipe(Told()).unlearn(target, selection, seed=0).cost
    assert silent == Cost(silent.seconds) and 0 < silent.seconds < 100


def test_nobody_counts_outside_and_an_inner_block_does_not_tell_the_outer():
    tell(seconds=1.0, steps=1, tokens=5)
    with counting() as outer:
        tell(seconds=1.0, steps=1, tokens=7)
        with counting() as inner:
            tell(seconds=1.0, steps=1, tokens=9)
    assert (outer.tokens, inner.tokens) == (7, 9)


def test_a_mean_of_several_runs_is_known_only_where_each_is():
    costs = [Cost(1.0, 2, 30, 700, 90, 5, "process"), Cost(2.0, 2, 40, 900, 80, None, "process")]
    found = averaged(costs)
    assert found == Cost(1.5, 2, 35, 800, 90, None, "process")
    mixed = averaged([costs[0], replace(costs[1], peak_of="device")])
    assert mixed.peak_bytes is None, "of a process and of a GPU there is no larger one"


def test_a_certificate_states_what_comes_out_the_same_again_and_neither_clock_nor_memory():
    target, selection = toy_model(seed=1), toy_selection()
    method = replace(npo, steps=2, epochs=0.0, batch_size=2)
    request = Request(subject="s", scope=Records(*selection.forget.ids), basis="test", salt="00" * 16)
    notes = []
    for _ in range(2):
        outcome = method.unlearn(target, selection, seed=0)
        notes.append(dict(issue(request, outcome).notes))
    cost = outcome.cost
    assert notes[0] == notes[1] and notes[0]["cost"] == (
        f"2 steps, {cost.tokens} tokens forward and backward, {cost.flops} floating-point operations, "
        f"{cost.bytes_changed} bytes of parameters changed"
    )
    shared = replace(outcome, notes={**outcome.notes, "batch": {"id": "b", "requests": 2}})
    assert dict(issue(request, shared).notes)["cost"].endswith(", for the whole batch")
    assert "cost" not in dict(issue(request, replace(outcome, cost=Cost(2.5))).notes)
