"""Merging is the sum of products, to the last bit of a float64; peft's linear combination is not."""

import copy

import numpy as np
import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError
from expunge.targets.adapted import beside
from expunge.targets.adapter import set_in, set_weights
from expunge.targets.causal_lm import weights_digest
from expunge.targets.merged import merged, require_summable, scale_of, summed
from expunge.targets.souped import souped
from expunge.testing.toy import toy_model

LORA = Adapter(r=2, alpha=6, targets=("q_proj", "down_proj"))


@pytest.fixture(scope="module")
def base():
    return toy_model(seed=3)


def drawn(base, seed, adapter=LORA):
    """Tensors of an adapter, both factors random."""
    model = beside(base).model
    set_in(model, adapter, seed=0)
    generator = torch.Generator().manual_seed(seed)
    named = ((n, p) for n, p in sorted(model.named_parameters()) if "lora_" in n)
    return {n: torch.randn(p.shape, generator=generator) for n, p in named}


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_the_merged_weights_are_the_sum_of_products_in_float64(base, combine):
    shards = [drawn(base, seed) for seed in (1, 2, 3)]
    found = dict(merged(base, shards, LORA, combine=combine).model.named_parameters())
    sums = summed(shards, scale_of(LORA), combine=combine)
    touched = 0
    for name, weight in base.model.named_parameters():
        whole = weight.detach().numpy().astype(np.float64)
        module = name.removesuffix(".weight")
        if f"{module}.lora_A.default.weight" in shards[0]:
            touched += 1
            assert torch.equal(found[name], (weight.double() + sums[module]).float())
            for own in shards:
                a, b = (own[f"{module}.lora_{x}.default.weight"].numpy().astype(np.float64) for x in "AB")
                whole = whole + 3.0 * b @ a / (3 if combine == "mean" else 1)
            np.testing.assert_allclose(sums[module].numpy(), whole - weight.detach().numpy(), rtol=1e-12, atol=1e-14)
        # What is left is the one rounding to the weights' own float32.
        np.testing.assert_allclose(found[name].detach().numpy(), whole, rtol=2**-23, atol=1e-12)
    assert touched == 4


def test_peft_linear_differs_and_its_exact_form_agrees(base):
    shards = [drawn(base, seed) for seed in (1, 2)]
    exact = summed(shards, scale_of(LORA), combine="mean")
    model = copy.deepcopy(base.model)
    handle = set_in(model, LORA, seed=0)
    config = handle.peft_config["default"]
    for number, own in enumerate(shards):
        handle.add_adapter(f"s{number}", config)
        named = dict(model.named_parameters())
        for name, value in own.items():
            named[name.replace(".default.", f".s{number}.")].data.copy_(value)
    for kind in ("linear", "cat"):
        handle.add_weighted_adapter(["s0", "s1"], [0.5, 0.5], kind, combination_type=kind)
    off = {"linear": [], "cat": []}
    for module, total in exact.items():
        layer = model.get_submodule(module)
        for kind, found in off.items():
            found.append(float((layer.get_delta_weight(kind).double() - total).abs().max() / total.abs().max()))
    assert min(off["linear"]) > 0.2
    assert max(off["cat"]) < 1e-5


def test_a_merge_after_a_deletion_is_the_merge_that_never_had_the_shard(base):
    shards = [drawn(base, seed) for seed in (1, 2, 3)]
    merged(base, shards, LORA)
    left = merged(base, [shards[0], shards[2]], LORA)
    fresh = merged(toy_model(seed=3), [drawn(base, 1), drawn(base, 3)], LORA)
    assert left.digest() == fresh.digest() != merged(base, shards, LORA).digest()
    assert merged(base, [], LORA).digest() == base.digest() == toy_model(seed=3).digest()


def test_one_merged_adapter_says_what_the_unmerged_says(base):
    own = drawn(base, 1)
    model = beside(base)
    handle = set_in(model.model, LORA, seed=0)
    set_weights(handle, {f"base_model.model.{n.replace('.default', '')}": v for n, v in own.items()})
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        there, here = model.model.eval()(ids).logits, merged(base, [own], LORA).model(ids).logits
    assert float((there - here).abs().max()) < 1e-4 * float(here.abs().max())


def test_transposed_weights_get_the_transposed_product():
    base = toy_model(seed=1, architecture="gpt2")
    lora = Adapter(r=2, alpha=6, targets=("c_attn",))
    with pytest.warns(UserWarning, match="fan_in_fan_out"):
        own = drawn(base, 5, lora)
    name = next(iter(own)).partition(".lora_")[0]
    a, b = (own[f"{name}.lora_{x}.default.weight"].double() for x in "AB")
    change = merged(base, [own], lora).model.get_submodule(name).weight - base.model.get_submodule(name).weight
    torch.testing.assert_close(change.double(), 3 * (b @ a).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "adapter",
    [Adapter(kind="ia3"), Adapter(settings={"use_dora": True}), Adapter(settings={"init_lora_weights": "pissa"})],
)
def test_what_is_no_sum_of_products_is_refused(adapter):
    with pytest.raises(ConfigError):
        require_summable(adapter)


def test_tensors_of_another_model_are_refused(base):
    own = drawn(toy_model(seed=0, layers=3), 1)
    with pytest.raises(TargetError):
        merged(base, [own], LORA)
    with pytest.raises(TargetError):
        merged(base, [{name: value for name, value in own.items() if "lora_A" in name}], LORA)


def test_the_output_layer_that_is_the_input_layer_is_refused(base):
    own = {
        f"lm_head.lora_{x}.default.weight": torch.ones(s) for x, s in (("A", (2, 16)), ("B", (len(base.tokenizer), 2)))
    }
    with pytest.raises(ConfigError, match="shares"):
        merged(base, [own], LORA)


def test_a_soup_is_the_mean_and_leaves_its_base_alone(base):
    before = base.digest()
    models = [toy_model(seed=seed).model for seed in (1, 2, 3)]
    soup = souped(base, [dict(model.named_parameters()) for model in models])
    for name, value in soup.model.named_parameters():
        mean = sum(dict(model.named_parameters())[name].double() for model in models) / 3
        assert torch.equal(value, mean.float())
    assert base.digest() == before
    assert weights_digest(souped(base, [dict(models[0].named_parameters())]).model) == weights_digest(models[0])
