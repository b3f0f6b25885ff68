"""Coarser weights: the grids keep their bounds, and a copy changes where quantisation does and nowhere else."""

import copy
import sys
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from expunge.attacks import quantisation_bitsandbytes, quantisation_nf4, quantisation_torchao
from expunge.core.access import Access
from expunge.core.errors import ConfigError, EvidenceError, MissingExtra
from expunge.engine.quantise import NF4, NormalFloat4, RoundToNearest, linear_weights, quantised, rounded
from expunge.engine.quantise_tools import BitsAndBytes, TorchAO
from expunge.targets.causal_lm import weights_digest
from expunge.testing.toy import toy_model, toy_selection

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 70))
WEIGHTS = arrays(np.float32, SHAPES, elements=st.floats(-9, 9, width=32)).map(torch.from_numpy)
GRIDS = st.one_of(
    st.builds(RoundToNearest, bits=st.integers(2, 8), group=st.sampled_from([0, 1, 3, 16, 64])),
    st.builds(NormalFloat4, block=st.sampled_from([1, 5, 64])),
)


@given(WEIGHTS, st.integers(2, 8), st.sampled_from([0, 3, 16]))
def test_no_weight_moves_by_more_than_half_a_step_of_its_group(weight, bits, group):
    codes, values = RoundToNearest(bits, group).coded(weight)
    width = group or weight.shape[1]
    for start in range(0, weight.shape[1], width):
        part = weight[:, start : start + width].double()
        step = part.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((values[:, start : start + width] - part).abs() <= step / 2 * (1 + 1e-12)).all()
    assert codes.abs().max() <= 2 ** (bits - 1) - 1


@given(WEIGHTS, GRIDS)
def test_quantising_twice_changes_nothing(weight, grid):
    codes, values = grid.coded(weight)
    once = values.to(weight.dtype)
    again, same = grid.coded(once)
    assert torch.equal(same.to(weight.dtype), once)
    # A weight too small for its numbers falls to 0, whose code differs and whose value does not.
    normal = (values == 0) | (values.abs() > torch.finfo(torch.float32).tiny)
    assert torch.equal(again[normal], codes[normal])


@given(WEIGHTS, GRIDS)
def test_the_largest_weight_of_a_block_and_every_zero_stay(weight, grid):
    _, values = grid.coded(weight)
    assert (values[weight == 0] == 0).all()
    assert float(values.abs().max()) == pytest.approx(float(weight.abs().max()), rel=1e-12)


@given(WEIGHTS, st.integers(2, 8))
def test_rounding_treats_both_signs_alike_and_each_channel_alone(weight, bits):
    grid = RoundToNearest(bits)
    codes, values = grid.coded(weight)
    mirrored, _ = grid.coded(-weight)
    assert torch.equal(mirrored, -codes)
    row_codes, row_values = grid.coded(weight[-1:])
    assert torch.equal(row_codes, codes[-1:]) and torch.equal(row_values, values[-1:])


def test_a_weight_that_lies_on_the_grid_stays_where_it_is():
    on_grid = torch.tensor([[-7, -3, 0, 2, 7]], dtype=torch.float32) * 0.125
    codes, values = RoundToNearest(4).coded(on_grid)
    assert codes.tolist() == [[-7, -3, 0, 2, 7]] and torch.equal(values.float(), on_grid)
    levels = torch.tensor([NF4]) * 0.5
    codes, values = NormalFloat4().coded(levels)
    assert codes.tolist() == [list(range(16))] and torch.equal(values.float(), levels)


def test_the_levels_of_nf4_are_the_quantiles_of_a_normal_distribution():
    quantile = NormalDist().inv_cdf
    offset = 0.9677083

    def half(count):
        return [quantile(offset + (0.5 - offset) * k / count) for k in range(count)]

    levels = sorted([*half(8), 0.0, *(-q for q in half(7))])
    # The published levels were computed in float32.
    assert pytest.approx([level / max(levels) for level in levels], abs=2e-7) == NF4


@given(arrays(np.float64, 40, elements=st.floats(-1, 1)))
def test_nf4_takes_the_nearest_level(values):
    weight = torch.tensor([[1.0, *values]])
    codes, found = NormalFloat4(block=64).coded(weight)
    gaps = (weight[0][:, None] - torch.tensor(NF4, dtype=torch.float64)[None, :]).abs()
    assert (weight[0] - found[0]).abs().tolist() == pytest.approx(gaps.amin(1).tolist(), abs=1e-15)
    assert codes.min() >= 0 and codes.max() == 15


def drawn(shape):
    return 0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(64, 128), (7, 33), (16, 16), (5, 80), (256, 192)])
def test_nf4_is_what_the_field_s_tool_makes_of_the_same_weights(shape):
    pytest.importorskip("bitsandbytes")
    ours, theirs = (grid.coded(drawn(shape)) for grid in (NormalFloat4(block=64), BitsAndBytes("nf4", block=64)))
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1].float(), theirs[1].float())


@pytest.mark.parametrize("shape", [(64, 128), (7, 33), (256, 192)])
def test_eight_bits_are_what_the_field_s_tool_makes_of_the_same_weights(shape):
    pytest.importorskip("bitsandbytes")
    ours, theirs = (grid.coded(drawn(shape)) for grid in (RoundToNearest(8), BitsAndBytes("int8")))
    # The tool multiplies by its scales in float32.
    assert torch.equal(ours[0], theirs[0]) and float((ours[1] - theirs[1]).abs().max()) < 1e-8


@pytest.mark.parametrize(("bits", "group"), [(4, 0), (4, 32), (8, 0)])
def test_torchao_uses_the_lowest_code_too_and_cuts_the_largest_weights_off(bits, group):
    pytest.importorskip("torchao")
    weight = drawn((64, 128))
    codes, values = TorchAO(bits, group).coded(weight)
    blocks = weight.double().reshape(64, -1, group or 128)
    step = blocks.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 0.5)
    want = (blocks / step).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    # The largest weights lie half-way between two codes, and float32 decides.
    inside = (blocks / step).abs() < 2 ** (bits - 1) - 0.51
    assert torch.equal(codes.reshape(blocks.shape)[inside].double(), want[inside])
    assert float((codes.reshape(blocks.shape) - want).abs().max()) <= 1 and float(inside.double().mean()) > 0.9
    assert float((values - weight).abs().max()) <= float(step.max()) * (0.5 + 1e-5)
    assert not torch.equal(codes, RoundToNearest(bits, group).coded(weight)[0])


@pytest.mark.parametrize(
    ("name", "attack"),
    [("bitsandbytes", quantisation_bitsandbytes), ("torchao", quantisation_torchao)],
)
def test_without_its_tool_an_attack_names_the_extra(name, attack, monkeypatch):
    for module in ("bitsandbytes", "bitsandbytes.functional", "torchao", "torchao.quantization"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'expunge\[{name}\]'"):
        attack.run(toy_model().oracle(Access.all()), toy_selection().forget, seed=0)
    assert attack.settings()["name"] == f"quantisation_{name}"


def test_an_attack_of_a_tool_is_ours_where_the_tool_does_what_we_do():
    pytest.importorskip("bitsandbytes")
    rows = [
        attack.run(toy_model().oracle(Access.all()), toy_selection().forget, seed=0)
        for attack in (quantisation_bitsandbytes, quantisation_nf4)
    ]
    assert [row["outcome"] for row in rows[0]] == pytest.approx([row["outcome"] for row in rows[1]], rel=1e-6)


def test_half_way_between_two_levels_the_lower_one_is_taken():
    middle = (NF4[3] + NF4[4]) / 2
    codes, _ = NormalFloat4().coded(torch.tensor([[1.0, middle]], dtype=torch.float64))
    assert codes.tolist() == [[15, 3]]


def test_blocks_of_nf4_run_over_the_rows_and_a_group_stays_within_one():
    weight = torch.tensor([[8.0, 1.0, 1.0], [1.0, 0.5, 0.25]])
    _, blocks_of_two = NormalFloat4(block=2).coded(weight)
    # 8 stands with the first 1; the two ones that follow are a block of their own, across the rows.
    assert blocks_of_two[0, 2] == blocks_of_two[1, 0] == 1.0 and blocks_of_two[0, 1] != 1.0
    _, groups_of_two = RoundToNearest(4, group=2).coded(weight)
    assert groups_of_two[0, 1] == pytest.approx(8 / 7) and groups_of_two[0, 2] == groups_of_two[1, 0] == 1.0


@pytest.mark.parametrize(("bits", "group"), [(1, 0), (9, 0), (4, -1)])
def test_a_grid_that_cannot_be_is_refused(bits, group):
    with pytest.raises(ConfigError, match=f"cannot round to {bits} bits"):
        RoundToNearest(bits, group)
    with pytest.raises(ConfigError, match="a block of 0 weights"):
        NormalFloat4(block=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi", "gpt_neox"])
def test_only_the_linear_layers_below_the_head_are_quantised(architecture):
    target = toy_model(architecture=architecture)
    before = target.digest()
    made = quantised(target, RoundToNearest(3))
    names = set(linear_weights(target.model))
    was, now = dict(target.model.named_parameters()), dict(made.model.named_parameters())
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed == names and target.digest() == before
    ends = {id(m.weight) for m in target.model.modules() if isinstance(m, torch.nn.Embedding)}
    ends.add(id(target.model.get_output_embeddings().weight))
    kept = {name for name, value in was.items() if id(value) in ends or value.ndim == 1}
    assert names == set(was) - kept
    tied = made.model.get_input_embeddings().weight is made.model.get_output_embeddings().weight
    assert tied == target.model.config.tie_word_embeddings


def test_a_layer_that_keeps_its_inputs_first_is_rounded_output_by_output():
    weight = linear_weights(toy_model(architecture="gpt2").model)["transformer.h.0.mlp.c_fc.weight"]
    assert weight.shape == (64, 16)
    model = toy_model(architecture="gpt2").model
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[:, 5] *= 100
    louder = linear_weights(model)["transformer.h.0.mlp.c_fc.weight"]
    codes, louder_codes = (RoundToNearest(4).coded(w)[0] for w in (weight, louder))
    assert torch.equal(codes, louder_codes)


def test_a_model_that_lies_on_a_grid_is_its_own_quantised_copy():
    once = quantised(toy_model(), NormalFloat4())
    assert weights_digest(quantised(once, NormalFloat4()).model) == weights_digest(once.model)


@pytest.mark.parametrize("numbers", ["bfloat16", "float16"])
def test_every_weight_is_what_a_file_in_other_numbers_gives_back(numbers, tmp_path):
    target = toy_model()
    before = target.digest()
    made = rounded(target, numbers)
    held = copy.deepcopy(target.model).to(getattr(torch, numbers)).float()
    assert weights_digest(made.model) == weights_digest(held) and target.digest() == before
    assert weights_digest(rounded(made, numbers).model) == weights_digest(made.model) != weights_digest(target.model)


def test_a_weight_that_does_not_fit_is_named_and_not_made_infinite():
    target = toy_model()
    with torch.no_grad():
        target.model.get_input_embeddings().weight[0, 0] = 1e5
    with pytest.raises(EvidenceError, match=r"embed_tokens.*does not fit into float16"):
        rounded(target, "float16")
    kept = rounded(target, "bfloat16").model.get_input_embeddings().weight[0, 0]
    assert float(kept.detach()) == pytest.approx(1e5, rel=4e-3)
