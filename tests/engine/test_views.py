"""The engine computes what the needs declare, and nothing else; what it computes is what a naive model gives."""

from dataclasses import replace

import pytest
import torch

from expunge.core.errors import ScopeError, StoreError, TargetError
from expunge.core.example import Examples
from expunge.core.objective import as_loss, objective
from expunge.core.training import Training
from expunge.core.views import Need
from expunge.engine.reference import ReferenceCache
from expunge.engine.train import train
from expunge.engine.views import Demand, compute
from expunge.objectives import calibrated_ascent, grad_ascent, kl, nll, npo
from expunge.ops.answer import pad_rows
from expunge.testing.toy import toy_model, toy_selection

ARCHITECTURES = ("llama", "gpt2")
CPU = torch.device("cpu")


@objective(reduce="token")
def steer(hidden, *, to: float):
    """Push states towards a constant."""
    return (hidden - to).square().sum(-1)


@objective(reduce="token", on="retain")
def stay(hidden, hidden_ref):
    """Keep states where they were."""
    return (hidden - hidden_ref).square().sum(-1)


@objective(reduce="example")
def prefer(logp_alt, logp_alt_ref, logp, n_tokens_alt):
    """Prefer the other answer."""
    return (logp - logp_alt + logp_alt_ref) / n_tokens_alt


def data() -> dict[str, Examples]:
    selection = toy_selection()
    return {"forget": selection.forget, "retain": selection.retain}


def one_step(target, loss, **settings):
    training = Training(**({"lr": 1e-3, "steps": 1, "batch_size": 99} | settings))
    return train(target, as_loss(loss), data(), training, seed=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_no_layer_above_the_deepest_needed_and_no_head_runs(count, architecture, layer):
    target = toy_model(architecture=architecture, layers=3)
    with count(target) as seen:
        one_step(target, steer.bind(to=0.5, layer=layer))
    assert sorted({index for index, _, _ in seen.layers}) == list(range(layer + 1))
    assert len(seen.layers) == layer + 1
    assert seen.head_rows == []


def test_the_reference_stops_at_the_same_layer(count):
    target = toy_model(layers=3)
    with count(target) as seen:
        one_step(target, steer.bind(to=0.5, layer=0) + stay.bind(layer=1))
    assert [index for index, _, _ in seen.layers] == [0, 1, 0, 1], "one reference pass, one training pass"
    assert seen.head_rows == []


def test_a_model_that_was_stopped_early_is_whole_afterwards():
    target = toy_model(layers=3)
    ids = torch.tensor([[1, 7, 9, 8]])
    with torch.no_grad():
        before = target.model(input_ids=ids).logits
        items = target.template.encode_all(data()["forget"])
        compute(target.model, target.facts, [items], Demand(final=False, layers=(0,)), CPU)
        assert torch.equal(target.model(input_ids=ids).logits, before)


def test_the_head_runs_on_scored_positions_only(count):
    target = toy_model()
    scored = sum(item.n_scored for item in target.template.encode_all(data()["forget"]))
    with count(target) as seen:
        one_step(target, grad_ascent.bind())
    assert seen.head_rows == [scored]


def test_segments_share_one_forward_and_a_segment_without_need_of_the_head_gets_none(count):
    target = toy_model()
    scored = {r: sum(i.n_scored for i in target.template.encode_all(e)) for r, e in data().items()}
    with count(target) as seen:
        one_step(target, steer.bind(to=0.5, layer=0) + nll.bind().on("retain"))
    assert seen.passes == 1
    assert seen.head_rows == [scored["retain"]]


@pytest.mark.parametrize(
    ("loss", "passes"),
    [
        (grad_ascent.bind() + nll.bind().on("retain"), 1),
        (npo.bind(beta=0.1) + nll.bind().on("retain"), 2),
        (npo.bind(beta=0.1) + kl.bind(), 3),
    ],
)
def test_a_reference_is_computed_once_a_role_and_only_if_a_term_reads_it(count, loss, passes):
    for steps in (1, 4):
        target = toy_model()
        with count(target) as seen:
            one_step(target, loss, steps=steps)
        assert seen.passes == passes - 1 + steps


def test_no_forward_runs_for_views_that_need_no_model(count):
    target = toy_model()
    items = target.template.encode_all(data()["forget"])
    demand = Demand.of([(Need("n_tokens"), None), (Need("labels"), None), (Need("logp", model="ref"), None)])
    with count(target) as seen:
        (views,) = compute(target.model, target.facts, [items], demand, CPU)
    assert seen.passes == 0 and not demand
    assert views.get("n_tokens", None).tolist() == [item.n_scored for item in items]
    labels = views.get("labels", None)
    assert all(labels[i, : x.n_scored].tolist() == list(x.ids[x.n_prompt :]) for i, x in enumerate(items))


def naive(model, items) -> list[torch.Tensor]:
    """Logits that predict each scored token, (n, V) an example: a full pass of one unpadded sequence each."""
    rows = []
    for item in items:
        logits = model(input_ids=torch.tensor([item.ids])).logits[0]
        rows.append(logits[item.n_prompt - 1 : -1])
    return rows


def token_logps(model, items) -> list[torch.Tensor]:
    scored = [torch.tensor(item.ids[item.n_prompt :]) for item in items]
    pairs = zip(naive(model, items), scored, strict=True)
    return [rows.log_softmax(-1)[torch.arange(len(ids)), ids] for rows, ids in pairs]


def naive_nll(model, reference, forget, retain):
    return -torch.cat(token_logps(model, retain)).mean()


def naive_npo(model, reference, forget, retain):
    ours = torch.stack([row.sum() for row in token_logps(model, forget)])
    theirs = torch.stack([row.sum() for row in token_logps(reference, forget)]).detach()
    return (2 / 0.3 * torch.log1p(torch.exp(0.3 * (ours - theirs)))).mean()


def naive_kl(model, reference, forget, retain):
    q = torch.cat(naive(model, retain)).log_softmax(-1)
    p = torch.cat(naive(reference, retain)).detach().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean()


def naive_ascent(model, reference, forget, retain):
    return torch.cat(token_logps(model, forget)).mean()


def naive_calibrated(model, reference, forget, retain):
    return torch.stack([torch.relu(4.5 + row.mean()) for row in token_logps(model, forget)]).mean()


NAIVE = {
    "nll": (nll.bind().on("retain"), naive_nll),
    "grad_ascent": (grad_ascent.bind(), naive_ascent),
    "npo": (npo.bind(beta=0.3), naive_npo),
    "kl": (kl.bind(), naive_kl),
    "calibrated_ascent": (calibrated_ascent.bind(level=4.5), naive_calibrated),
}


def still(target):
    for module in target.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return target


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", NAIVE)
def test_loss_and_gradient_are_those_of_a_naive_implementation(gradients, name, architecture):
    target = still(toy_model(seed=3, architecture=architecture))
    term, plainly = NAIVE[name]
    model = target.clone().model.eval()
    found, means = gradients(target, term, data(), after=model, lr=5e-2 if name == "kl" else 1e-3)
    model.zero_grad()
    items = {role: target.template.encode_all(examples) for role, examples in data().items()}
    value = plainly(model, target.model, items["forget"], items["retain"])
    assert next(iter(means.values())) != 0
    value.backward()
    for name_, parameter in model.named_parameters():
        torch.testing.assert_close(found[name_], parameter.grad, rtol=1e-5, atol=1e-5)
    assert max(g.abs().max() for g in found.values()) > 1e-3


def test_the_terms_of_a_loss_add_up_with_their_weights(gradients):
    target = toy_model(seed=3)
    alone = [gradients(target, term, data())[0] for term in (grad_ascent.bind(), nll.bind().on("retain"))]
    both, _ = gradients(target, 2 * grad_ascent.bind() + nll.bind().on("retain") * 0.5, data())
    for name, value in both.items():
        torch.testing.assert_close(value, 2 * alone[0][name] + 0.5 * alone[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reference_views_equal_a_live_copy_after_the_model_has_changed(architecture):
    target = toy_model(seed=3, architecture=architecture)
    original = target.clone().model
    items = target.template.encode_all(data()["retain"])
    segment = ("retain", "")
    needs = [(segment, Need(view, model="ref"), 1) for view in ("logp", "token_logp", "logits", "hidden")]
    cache = ReferenceCache(target.model, target.facts, {segment: items}, needs, CPU)
    with torch.no_grad():
        for parameter in target.model.parameters():
            parameter.mul_(1.7)
        chosen = [items[i] for i in (4, 0, 7)]
        keys = [item.key for item in chosen]
        counts = torch.tensor([item.n_scored for item in chosen])
        logps = token_logps(original, chosen)
        outputs = [original(input_ids=torch.tensor([i.ids]), output_hidden_states=True) for i in chosen]
    # hidden_states[k] is what layer k reads: the state after layer k - 1.
    states = [o.hidden_states[1][0, i.n_prompt - 1 : -1] for o, i in zip(outputs, chosen, strict=True)]
    want = {
        "logp": torch.stack([row.sum() for row in logps]),
        "token_logp": pad_rows(torch.cat(logps), counts),
        "logits": pad_rows(torch.cat(naive(original, chosen)), counts),
    }
    for view, value in want.items():
        torch.testing.assert_close(cache.get(segment, view, None, keys), value, rtol=1e-5, atol=1e-5)
        assert not cache.get(segment, view, None, keys).requires_grad
    needs = [(segment, Need("hidden", model="ref"), 0)]
    hidden = ReferenceCache(original, target.facts, {segment: items}, needs, CPU).get(segment, "hidden", 0, keys)
    torch.testing.assert_close(hidden, pad_rows(torch.cat(states), counts), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_is_the_state_after_the_bound_layer(gradients, architecture):
    target = still(toy_model(seed=3, architecture=architecture, layers=3))
    model = target.clone().model.eval()
    items = target.template.encode_all(data()["forget"])
    found, means = gradients(target, steer.bind(to=0.5, layer=1), data())
    outputs = [model(input_ids=torch.tensor([i.ids]), output_hidden_states=True).hidden_states[2] for i in items]
    states = torch.cat([state[0, i.n_prompt - 1 : -1] for state, i in zip(outputs, items, strict=True)])
    loss = (states - 0.5).square().sum(-1).mean()
    loss.backward()
    assert means["0:steer/forget"] == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert name not in found
        else:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-5, atol=1e-5)


def test_two_layers_may_be_bound_in_one_loss(gradients):
    target = toy_model(seed=3, layers=3)
    alone = [gradients(target, steer.bind(to=0.5, layer=k), data())[1]["0:steer/forget"] for k in (0, 2)]
    _, both = gradients(target, steer.bind(to=0.5, layer=2) + steer.bind(to=0.5, layer=0), data())
    assert alone[0] != pytest.approx(alone[1])
    assert list(both.values()) == pytest.approx(alone[::-1], rel=1e-6)


@pytest.mark.parametrize("layer", [-1, 2, 99])
def test_a_layer_that_the_model_lacks_is_refused(layer):
    target = toy_model(layers=2)
    before = target.digest()
    with pytest.raises(TargetError, match="layers 0 to 1"):
        one_step(target, steer.bind(to=0.5, layer=layer))
    assert target.digest() == before


def test_the_other_answer_of_a_record_has_its_own_tokens(gradients):
    target = toy_model(seed=3)
    model = target.clone().model.eval()
    forget = data()["forget"]
    own = target.template.encode_all(forget)
    other = [target.template.encode(e.record_id, e.question, e.alternative_answer) for e in forget]
    _, means = gradients(target, prefer.bind(), data())
    terms = [
        (a.sum() - b.sum() + b.sum()) / len(b)
        for a, b in zip(token_logps(model, own), token_logps(model, other), strict=True)
    ]
    assert means["0:prefer/forget"] == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


def test_a_record_without_the_other_answer_is_refused_by_name():
    bare = Examples(replace(e, alternative_answer="") if e.record_id == "bo-pet" else e for e in data()["forget"])
    target = toy_model()
    with pytest.raises(StoreError, match="'bo-pet' has no alternative answer"):
        train(target, as_loss(prefer.bind()), {"forget": bare}, Training(lr=1e-3, steps=1), seed=0)


def test_a_role_that_a_term_reads_and_that_is_empty_is_refused():
    for given in ({"forget": data()["forget"]}, {**data(), "retain": Examples()}):
        with pytest.raises(ScopeError, match="the retain set is empty"):
            train(toy_model(), grad_ascent.bind() + nll.bind().on("retain"), given, Training(lr=1e-3, steps=1), seed=0)


def test_parameters_that_are_not_trained_get_no_gradient_and_stay():
    target = toy_model(layers=3)
    frozen = [p for n, p in target.model.named_parameters() if "layers.2" not in n]
    for parameter in frozen:
        parameter.requires_grad_(False)
    before = [p.clone() for p in target.model.parameters()]
    one_step(target, npo.bind(beta=0.1) + nll.bind().on("retain"))
    changed = [not torch.equal(a, b) for a, b in zip(before, target.model.parameters(), strict=True)]
    assert all(p.grad is None for p in frozen)
    assert any(changed) and not any(
        c for c, p in zip(changed, target.model.parameters(), strict=True) if not p.requires_grad
    )
