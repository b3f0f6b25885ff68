"""Plans and their costs: the reference's numbers, counts by simulation, and expectations by enumeration."""

import hashlib
import itertools
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.engine.parts.cost import batch_points, sequential_points, slicing_point_epochs
from expunge.engine.parts.epochs import epochs_of
from expunge.engine.parts.partition import contiguous
from expunge.engine.parts.plan import plan_of
from expunge.engine.parts.training import lineage
from expunge.targets.shard_manifest import ShardManifest, assignment


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden/classical/sisa/expected.json").read_text())


def manifests(rows, shards, slices, epochs):
    """Contiguous shards of records named by their positions; a digest of a slice is the text of its ids."""
    held = [[[] for _ in range(slices)] for _ in range(shards)]
    for name, (shard, part) in contiguous([str(i) for i in range(rows)], shards=shards, slices=slices).items():
        held[shard][part].append(name)
    e = epochs_of(epochs, slices)
    return [digested(ShardManifest(k, tuple(map(tuple, parts)), e)) for k, parts in enumerate(held)]


def digested(manifest):
    return ShardManifest(manifest.shard, manifest.slices, manifest.epochs, tuple(map(str, manifest.slices)))


def peers_hashes(manifest, size):
    """The reference's names of its checkpoints: for slice r the first (r + 1) (n // R) rows that the shard had."""
    left = set(manifest.ids)
    first = min(map(int, manifest.ids)) // size * size
    step = size // len(manifest.slices)
    ends = [step * (r + 1) for r in range(len(manifest.slices))]
    kept = [[str(first + i) for i in range(end) if str(first + i) in left] for end in ends]
    return [hashlib.sha256(":".join(names).encode()).hexdigest() for names in kept]


def test_plans_and_point_epochs_are_those_of_the_reference_implementation(golden):
    for case in golden["requests"]:
        held = manifests(case["N"], case["S"], case["R"], case["epochs"])
        plan = plan_of(held, [str(i) for i in case["deleted"]])
        found = [
            {
                "shard": part.shard,
                "deleted": [int(name) for name in part.deleted],
                "first_changed_slice": part.first,
                "slices_retrained": len(part.kept.slices) - part.first,
                "epochs_per_slice": list(part.kept.epochs),
                "point_epochs": part.point_epochs,
                "tail_deleted_but_hash_unchanged": False,
            }
            for part in plan.shards
        ]
        assert found == case["plan"]
        assert plan.point_epochs == case["total_point_epochs"]
        assert len(plan.shards) == case["shards_retrained"]


def test_the_first_records_of_a_shard_have_the_references_hash(golden):
    case = golden["hash_example"]
    first = manifests(1200, 4, 1, 20)[case["shard"]].ids[: case["until"]]
    assert hashlib.sha256(":".join(first).encode()).hexdigest() == case["label0"] == case["check"]


def test_a_deleted_tail_row_changes_our_last_checkpoint_where_the_reference_sees_no_change(golden):
    case = golden["tail_bug_case"]
    held = manifests(case["N"], case["S"], case["R"], 20)
    shard, size = held[case["shard"]], case["N"] // case["S"]
    plan = plan_of(held, [str(case["deleted_row"])])
    (part,) = plan.shards
    kept = digested(part.kept)
    assert peers_hashes(shard, size) == peers_hashes(kept, size)
    before, after = (lineage(m, trainer="t", seed=0) for m in (shard, kept))
    assert part.first == case["R"] - 1 and before[:-1] == after[:-1] and before[-1] != after[-1]


@given(rows=st.integers(1, 60), shards=st.integers(1, 5), slices=st.integers(1, 5), data=st.data())
def test_no_record_is_in_no_slice_and_each_changes_every_checkpoint_from_its_slice_on(rows, shards, slices, data):
    held = manifests(rows, shards, slices, 7)
    places = assignment(held)
    assert sorted(places, key=int) == [str(i) for i in range(rows)] and sum(len(m.ids) for m in held) == rows
    name = data.draw(st.sampled_from(sorted(places)))
    shard, part = places[name]
    for manifest in held:
        before, after = (lineage(m, trainer="t", seed=1) for m in (manifest, digested(manifest.without([name]))))
        same = part if manifest.shard == shard else slices
        assert before[:same] == after[:same] and not set(before[same:]) & set(after[same:])


@given(rows=st.integers(1, 80), shards=st.integers(1, 5), slices=st.integers(1, 5), data=st.data())
def test_point_epochs_are_the_rows_that_a_replay_steps_over(rows, shards, slices, data):
    held = manifests(rows, shards, slices, data.draw(st.integers(3, 9)))
    gone = data.draw(st.sets(st.sampled_from([str(i) for i in range(rows)]), max_size=6))
    plan, places, steps = plan_of(held, gone), assignment(held), 0
    for manifest in held:
        hit = [places[name][1] for name in gone if places[name][0] == manifest.shard]
        for part in range(min(hit, default=slices), slices):
            for _ in range(manifest.epochs[part]):
                steps += sum(name not in gone for inner in manifest.slices[: part + 1] for name in inner)
    assert plan.point_epochs == steps
    assert plan.whole == sum(m.without(gone).point_epochs() for m in held) >= plan.point_epochs
    assert {name for part in plan.shards for name in part.deleted} == gone


def test_expected_costs_are_the_means_over_all_ways_in_which_deletions_fall():
    rows, shards = 24, 3
    for deleted in (1, 2, 3, 4):
        ways = list(itertools.product(range(shards), repeat=deleted))
        batch = sum(Fraction(rows, shards) * len(set(way)) - deleted for way in ways) / len(ways)
        singly = sum(
            Fraction(rows, shards) - 1 - way[:at].count(way[at]) for way in ways for at in range(deleted)
        ) / len(ways)
        assert batch_points(rows, shards, deleted) == pytest.approx(float(batch), abs=1e-12)
        assert sequential_points(rows, shards, deleted) == pytest.approx(float(singly), abs=1e-12)


@pytest.mark.parametrize("slices", [1, 2, 4, 5])
def test_the_cost_of_slicing_is_the_mean_over_all_records(slices):
    rows, shards = 120, 2
    epochs = 3 * (slices + 1)
    held = manifests(rows, shards, slices, epochs)
    mean = sum(held[0].point_epochs(part) for part in range(slices)) / slices
    assert slicing_point_epochs(rows, shards, slices, epochs) == pytest.approx(mean)
    # The formula counts the row that goes; a plan does not.
    one = [plan_of(held, [str(i)]) for i in range(rows)]
    counted = [p.point_epochs + sum(p.shards[0].kept.epochs[p.shards[0].first :]) for p in one]
    assert sum(counted) / len(counted) == pytest.approx(mean)


def test_unknown_records_are_refused():
    with pytest.raises(StoreError, match=r"record '99' is not in this model\. 1 of 2 records are in no slice"):
        plan_of(manifests(10, 2, 2, 3), ["3", "99"])
