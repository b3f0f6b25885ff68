"""Only the parameters that were named are trained, and no gradient is computed below the lowest of them."""

from dataclasses import fields

import pytest
import torch

from expunge.core.errors import ConfigError, UnknownName
from expunge.core.objective import as_loss, objective
from expunge.core.training import Training
from expunge.engine.train import only, train
from expunge.methods.gradient._gradient import Gradient
from expunge.objectives import kl, nll, npo
from expunge.testing.toy import toy_model, toy_selection

LOSS = npo.bind(beta=0.3) + nll.bind().on("retain") + kl.bind()
LAST = r"model\.layers\.2\.mlp\..*"


def method(**settings) -> Gradient:
    return Gradient(LOSS, **({"lr": 1e-2, "steps": 3, "batch_size": 4, "weight_decay": 0.1} | settings))


@pytest.mark.parametrize("patterns", [(LAST,), (r".*\.0\.self_attn\.[qv]_proj\.weight", r"model\.norm\.weight")])
def test_what_no_pattern_matches_is_bitwise_unchanged(patterns):
    target = toy_model(layers=3)
    changed = method(trainable=patterns).unlearn(target, toy_selection(), seed=0).target
    with only(target.model, patterns):
        asked = {name for name, p in target.model.named_parameters() if p.requires_grad}
    pairs = zip(target.model.named_parameters(), changed.model.named_parameters(), strict=True)
    moved = {name for (name, before), (_, after) in pairs if not torch.equal(before, after)}
    assert moved == asked and 0 < len(moved) < 10


def test_a_pattern_that_matches_everything_changes_nothing_about_a_run():
    whole, named = (method(trainable=t).unlearn(toy_model(), toy_selection(), seed=0) for t in ((), (".*",)))
    assert whole.target.digest() == named.target.digest()
    assert whole.notes["trained_parameters"] == named.notes["trained_parameters"] == toy_model().parameters
    assert whole.recipe != named.recipe


@pytest.mark.parametrize("pattern", [r"model\.layer\.2\.mlp\.down_proj\.weight", r"layers\.2", "lm_head"])
def test_a_pattern_that_matches_no_whole_name_is_refused_with_near_names(pattern):
    target = toy_model(layers=3)
    before = target.digest()
    with pytest.raises(UnknownName) as caught:
        method(trainable=(LAST, pattern)).unlearn(target, toy_selection(), seed=0)
    assert "unknown parameter" in str(caught.value) and target.digest() == before
    if "down" in pattern:
        assert "Did you mean" in str(caught.value) and "'model.layers.2.mlp.down_proj.weight'" in str(caught.value)
    with pytest.raises(ConfigError, match="'\\(' is no regular expression"):
        method(trainable=("(",))


def test_no_gradient_is_computed_below_the_lowest_trained_parameter():
    target = toy_model(layers=3)
    asked: dict[int, set[bool]] = {}

    def watch(index):
        def hook(_module, _inputs, output):
            if target.model.training:
                asked.setdefault(index, set()).add(output.requires_grad)

        return hook

    for index, layer in enumerate(target.model.base_model.layers):
        layer.register_forward_hook(watch(index))
    selection = toy_selection()
    data = {"forget": selection.forget, "retain": selection.retain}
    training = Training(lr=1e-2, steps=2, batch_size=4, trainable=(r"model\.layers\.1\.mlp\.up_proj\.weight",))
    train(target, as_loss(LOSS), data, training, seed=0)
    assert asked == {0: {False}, 1: {True}, 2: {True}}
    assert all(p.requires_grad for p in target.model.parameters()), "afterwards it can be trained whole again"


def test_a_loss_that_no_trained_parameter_reaches_is_refused():
    shallow = objective(reduce="token")(lambda hidden: hidden.square().sum(-1))
    with pytest.raises(ConfigError, match="no parameter that is trained reaches the loss"):
        Gradient(shallow.bind(layer=1), lr=1e-2, steps=2, trainable=(LAST,)).unlearn(
            toy_model(layers=3), toy_selection(), seed=0
        )


def test_a_method_has_the_fields_of_the_loop_and_their_defaults():
    ours = {f.name: f.default for f in fields(Gradient)}
    assert {f.name: f.default for f in fields(Training)}.items() <= ours.items()
