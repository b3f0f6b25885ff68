"""Adapters: what is trained, what it starts from, what it is merged into, and how it is taken off."""

from dataclasses import replace

import pytest
import torch

from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError, UnknownName
from expunge.core.guarantee import Empirical, Suppressed
from expunge.core.outcome import Outcome, Overlay
from expunge.core.progress import listening
from expunge.engine.score import score
from expunge.methods.gradient import npo as npo_method
from expunge.methods.gradient._gradient import Gradient
from expunge.metrics import probability
from expunge.objectives import kl, nll, npo
from expunge.targets.adapted import beside, load_adapted
from expunge.targets.adapter import merge, set_in
from expunge.testing.toy import toy_model, toy_recipe, toy_selection, toy_store

LORA = Adapter(r=4, alpha=16, targets=("q_proj", "v_proj", "down_proj"))
LOSS = npo.bind(beta=0.3) + nll.bind().on("retain") + kl.bind()
KINDS = {
    "lora": LORA,
    "dora": replace(LORA, settings={"use_dora": True}),
    "pissa": replace(LORA, settings={"init_lora_weights": "pissa"}),
    "loha": Adapter("LoHa", r=4, targets=("q_proj",)),
    "ia3": Adapter("ia3", targets=("k_proj", "down_proj"), settings={"feedforward_modules": ["down_proj"]}),
    "vera": Adapter("vera", r=4, targets=("q_proj",), settings={"projection_prng_key": 3}),
}


@pytest.fixture(scope="module")
def trained():
    return toy_recipe(steps=60, hidden=32).train(toy_store(), seed=0)


def method(adapter=LORA, **settings) -> Gradient:
    return Gradient(LOSS, adapter=adapter, **({"lr": 1e-2, "steps": 4, "batch_size": 4, "save_every": 1} | settings))


def said(target, examples=None):
    examples = toy_selection().forget if examples is None else examples
    return score(target, examples, ["token_logp"])["token_logp"]


def test_a_fresh_lora_says_what_the_bare_model_says_to_the_bit():
    target = toy_model()
    before = said(target)
    set_in(target.model, LORA, seed=3)
    assert (said(target) == before).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_trained_alone_and_merges_to_what_it_was_unmerged(trained, kind):
    target = trained.clone()
    names = [name for name, _ in target.model.named_parameters()]
    handle = set_in(target.model, KINDS[kind], seed=3, to_merge=True)
    alive = [p for p in target.model.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in alive) < trained.parameters / 4
    with torch.no_grad():
        for parameter in alive:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    unmerged = said(target)
    assert abs(unmerged - said(trained)).max() > 1e-4
    assert merge(handle) is target.model
    assert abs(unmerged - said(target)).max() < 2e-5
    assert [name for name, _ in target.model.named_parameters()] == names
    assert all(p.requires_grad for p in target.model.parameters())


def test_a_method_with_an_adapter_returns_weights_with_it_merged(trained):
    before = trained.digest()
    outcome = method().unlearn(trained, toy_selection(), seed=0)
    assert isinstance(outcome, Outcome) and outcome.claim == Empirical("research-tofu")
    assert trained.digest() == before == outcome.before != outcome.target.digest()
    pairs = zip(trained.model.named_parameters(), outcome.target.model.named_parameters(), strict=True)
    moved = {a.rpartition(".weight")[0].rpartition(".")[2] for (a, p), (b, q) in pairs if not torch.equal(p, q)}
    assert moved == set(LORA.targets)
    layers, width, inner = 2, 32, 64
    assert outcome.notes["trained_parameters"] == layers * 4 * (
        (width + width) + (width + width // 2) + (inner + width)
    )


def test_reference_values_are_those_of_the_bare_model_whatever_the_adapter_starts_with(trained):
    """At the first step NPO is (2 / beta) ln 2 if and only if the model is the reference."""
    calm = Gradient(npo.bind(beta=0.3), lr=1e-9, steps=1, batch_size=99)
    level = 2 / 0.3 * 0.6931472
    found = {}
    for name, settings in {
        "zero": {},
        "pissa": {"init_lora_weights": "pissa"},
        "random": {"init_lora_weights": False},
    }.items():
        done = replace(calm, adapter=replace(LORA, settings=settings)).unlearn(trained, toy_selection(), seed=0)
        found[name] = done.notes["last"]["0:npo/forget"]
    assert found["zero"] == pytest.approx(level, rel=1e-6) and found["pissa"] == pytest.approx(level, rel=1e-4)
    assert abs(found["random"] - level) > 1e-2


@pytest.mark.parametrize("kind", ["lora", "ia3", "vera"])
def test_revoking_an_overlay_restores_the_original_to_the_bit(tmp_path, trained, kind):
    before, spoken = trained.digest(), said(trained)
    overlay = method(KINDS[kind], keep_overlay=True).unlearn(trained, toy_selection(), seed=0)
    assert isinstance(overlay, Overlay) and overlay.claim == Suppressed()
    assert overlay.base is trained and overlay.before == before
    assert overlay.revoke().digest() == before and (said(overlay.revoke()) == spoken).all()
    oracle = overlay.target.oracle(Access.all())
    assert oracle.access == Access.TEXT | Access.LOGPROBS
    through = said(oracle)
    assert abs(through - spoken).max() > 1e-4
    # The same run, merged: the overlay says what the weights would.
    merged = method(KINDS[kind]).unlearn(trained, toy_selection(), seed=0)
    assert abs(said(merged.target) - through).max() < 1e-4
    manifest = overlay.target.save(tmp_path / "overlay")
    assert sorted(e.path for e in manifest.entries) == ["adapter.safetensors", "target.json"]
    again = load_adapted(tmp_path / "overlay", trained)
    assert again.digest() == overlay.target.digest() and (said(again.oracle(Access.all())) == through).all()
    assert trained.digest() == before


def test_an_overlay_holds_no_second_copy_of_the_weights(trained):
    overlay = method(keep_overlay=True).unlearn(trained, toy_selection(), seed=0)
    below = {p.data_ptr() for p in trained.model.parameters()}
    own = [p for p in overlay.target.adapted.model.parameters() if p.data_ptr() not in below]
    assert sum(p.numel() for p in own) == overlay.notes["trained_parameters"]
    other = beside(trained)
    assert other.digest() == trained.digest() and other.model is not trained.model


def test_a_changed_adapter_or_another_base_is_refused(tmp_path, trained):
    overlay = method(keep_overlay=True).unlearn(trained, toy_selection(), seed=0)
    overlay.target.save(tmp_path / "o")
    with pytest.raises(TargetError, match=r"the adapter in .* changed since it was saved"):
        load_adapted(tmp_path / "o", toy_recipe(steps=1, hidden=32).train(toy_store(), seed=0))
    with pytest.raises(TargetError, match=r"cannot load an adapter from .*do not fit the model"):
        load_adapted(tmp_path / "o", toy_model())
    data = bytearray((tmp_path / "o" / "adapter.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "o" / "adapter.safetensors").write_bytes(data)
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_adapted(tmp_path / "o", trained)


@pytest.mark.parametrize("keep", [False, True])
def test_a_killed_run_with_an_adapter_continues_to_the_same_digest(tmp_path, trained, keep):
    chosen = method(replace(LORA, settings={"lora_dropout": 0.2}), keep_overlay=keep, steps=5)
    want = chosen.unlearn(trained, toy_selection(), seed=1)

    def stop(stage, done, total, note):
        if stage == "custom" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        chosen.unlearn(trained, toy_selection(), seed=1, workdir=tmp_path)
    got = chosen.unlearn(trained, toy_selection(), seed=1, workdir=tmp_path)
    assert got.target.digest() == want.target.digest()
    assert got.notes["last"] == want.notes["last"]
    other = method(keep_overlay=keep, steps=5).unlearn(trained, toy_selection(), seed=1, workdir=tmp_path)
    assert other.target.digest() != want.target.digest()


def test_lora_and_all_parameters_answer_the_same_request(trained):
    selection = toy_selection()
    settings = {"lr": 5e-3, "steps": 30, "batch_size": 6, "retain_batch_size": 11, "weight_decay": 0.0}

    def known(target, examples) -> float:
        return float(probability.of(score(target, examples, probability.needs)).mean())

    whole = replace(npo_method, **settings).unlearn(trained, selection, seed=0)
    lora = replace(npo_method, **settings | {"lr": 2e-2}, adapter=LORA).unlearn(trained, selection, seed=0)
    for outcome in (whole, lora):
        assert known(outcome.target, selection.forget) < 0.5 * known(trained, selection.forget)
        assert known(outcome.target, selection.retain) > 0.5 * known(trained, selection.retain)
        assert outcome.cost.tokens == whole.cost.tokens
    assert lora.notes["trained_parameters"] < whole.notes["trained_parameters"] / 4
    assert lora.recipe != whole.recipe and lora.target.digest() != whole.target.digest()


WRONG = {
    "kind": (Adapter("lorra"), "unknown kind of adapter 'lorra'. Did you mean 'lora'"),
    "setting": (replace(LORA, settings={"lora_dropuot": 0.1}), "unknown setting of lora 'lora_dropuot'. Did you mean"),
    "rank": (Adapter("ia3", r=4), "unknown setting of ia3 'r'"),
    "module": (replace(LORA, targets=("qproj",)), "lora cannot be set into this model"),
    "value": (replace(LORA, r=-4), "lora cannot be set into this model|a setting of lora does not fit"),
    "tokens": (Adapter("prompt_tuning", settings={"num_virtual_tokens": 3}), "prompt_tuning cannot be trained here"),
    "schedule": (Adapter("adalora", settings={"total_step": 9}), "adalora cannot be trained here"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_adapter_that_does_not_fit_is_refused_before_anything_changes(what):
    adapter, why = WRONG[what]
    target = toy_model()
    before = target.digest()
    with pytest.raises((ConfigError, UnknownName), match=why):
        method(adapter).unlearn(target, toy_selection(), seed=0)
    assert target.digest() == before


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="changed weights are no overlay"):
        Gradient(LOSS, lr=1e-3, steps=2, keep_overlay=True)
    with pytest.raises(ConfigError, match="an adapter is trained instead of the weights"):
        method(trainable=(".*",)).unlearn(toy_model(), toy_selection(), seed=0)
    with pytest.raises(ConfigError, match=r"init_lora_weights=pissa cannot stay an overlay.*rewrites the weights"):
        method(KINDS["pissa"], keep_overlay=True).unlearn(toy_model(), toy_selection(), seed=0)


def test_the_adapter_is_a_part_of_the_digest():
    others = [
        method(),
        method(None),
        method(replace(LORA, r=8)),
        method(replace(LORA, settings={"lora_dropout": 0.1})),
        method(keep_overlay=True),
    ]
    assert len({m.digest() for m in others}) == len(others) == len(set(others))
    a, b = (Adapter(settings=s) for s in ({"b": 1, "a": [2, 3]}, (("a", (2, 3)), ("b", 1))))
    assert a == b and method(a).digest() == method(b).digest()


def test_gpt2_is_adapted_too():
    target = toy_model(architecture="gpt2")
    adapter = Adapter(r=2, alpha=4, targets=("c_attn",), settings={"fan_in_fan_out": True})
    outcome = method(adapter).unlearn(target, toy_selection(), seed=0)
    assert outcome.target.digest() != outcome.before == target.digest()
