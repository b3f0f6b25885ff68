"""Every family of the table: the engine computes what the plain forward pass gives, with tiny random weights."""

import pytest
import torch

from expunge.core.errors import TargetError
from expunge.core.views import Need
from expunge.data.collate import collate
from expunge.engine.prefix import by_prompt, sweep_alone, sweep_shared
from expunge.engine.reference import ReferenceCache
from expunge.engine.views import Demand, compute, run_states
from expunge.ops.answer import pad_rows
from expunge.targets.causal_lm import load_causal_lm, weights_digest
from expunge.targets.model_facts import MODEL_FACTS, facts_of
from expunge.testing.toy import WINDOW, toy_corpus, toy_model, toy_selection

FAMILIES = sorted(MODEL_FACTS)
ASKED = {
    "llama",
    "gpt2",
    "qwen2",
    "qwen3",
    "mistral",
    "gemma2",
    "gemma3_text",
    "phi",
    "phi3",
    "gpt_neox",
    "olmo",
    "olmo2",
}
SLIDING = ("gemma2", "gemma3_text", "mistral", "qwen2")
CPU = torch.device("cpu")
LAYERS = 3


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def loud(target):
    """The model with weights large enough that a slip in a norm, a cap or a window is seen."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for parameter in target.model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for module in target.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return target


@pytest.fixture(params=FAMILIES)
def target(request):
    return loud(toy_model(seed=3, architecture=request.param, layers=LAYERS))


@pytest.fixture
def items(target):
    return target.template.encode_all(toy_selection().forget)


def plainly(target, item, grad=False):
    """Logits (n, V) at the scored positions and the states after each layer, from one unpadded sequence."""
    with torch.set_grad_enabled(grad):
        out = target.model(input_ids=torch.tensor([item.ids]), use_cache=False, output_hidden_states=True)
    at = slice(item.n_prompt - 1, -1)
    return out.logits[0, at], [state[0, at] for state in out.hidden_states]


def test_the_table_holds_what_was_promised():
    assert set(FAMILIES) >= ASKED


def test_views_are_those_of_the_plain_forward(target, items):
    (views,) = compute(target.model, target.facts, [items], Demand(final=True, layers=(0, 1)), CPU)
    found = [plainly(target, item) for item in items]
    counts = torch.tensor([item.n_scored for item in items])
    close(views.get("logits", None), pad_rows(torch.cat([logits for logits, _ in found]), counts))
    for layer in (0, 1):
        # hidden_states[k] is what layer k reads: the state after layer k - 1.
        want = pad_rows(torch.cat([states[layer + 1] for _, states in found]), counts)
        close(views.get("hidden", layer), want)
    labels = [torch.tensor(item.ids[item.n_prompt :]) for item in items]
    logps = [z.log_softmax(-1).gather(1, y[:, None])[:, 0] for (z, _), y in zip(found, labels, strict=True)]
    close(views.get("token_logp", None), pad_rows(torch.cat(logps), counts))
    close(views.get("logp", None), torch.stack([row.sum() for row in logps]))


def test_the_last_layer_s_state_is_before_the_final_norm(target, items):
    caught = []
    handle = target.facts.decoder_layers(target.model)[-1].register_forward_hook(lambda m, i, o: caught.append(o))
    batch = collate(items)
    with torch.no_grad():
        states = run_states(target.model, target.facts, batch, final=True, layers=(LAYERS - 1,))
    handle.remove()
    assert torch.equal(states.layers[LAYERS - 1], caught[0][batch.rows, batch.cols])


def test_the_pass_stops_at_the_deepest_layer_and_leaves_the_model_whole(target, items):
    ran = []
    stack = target.facts.decoder_layers(target.model)
    assert len(stack) == LAYERS
    handles = [block.register_forward_hook(lambda m, i, o, k=k: ran.append(k)) for k, block in enumerate(stack)]
    handles.append(target.model.get_output_embeddings().register_forward_hook(lambda m, i, o: ran.append("head")))
    before = plainly(target, items[0])[0]
    ran.clear()
    with torch.no_grad():
        compute(target.model, target.facts, [items], Demand(final=False, layers=(1,)), CPU)
    assert ran == [0, 1]
    for handle in handles:
        handle.remove()
    assert torch.equal(plainly(target, items[0])[0], before)


def test_the_head_runs_on_scored_positions_only(target, items):
    rows = []
    module = target.model.get_output_embeddings()
    handle = module.register_forward_pre_hook(lambda m, i: rows.append(i[0].numel() // i[0].shape[-1]))
    (views,) = compute(target.model, target.facts, [items], Demand(final=True, layers=()), CPU)
    views.get("logp", None)
    handle.remove()
    assert rows == [sum(item.n_scored for item in items)]


def test_padding_on_the_right_changes_nothing(target, items):
    batch = collate(items)
    with torch.no_grad():
        want = run_states(target.model, target.facts, batch, final=True, layers=(0, LAYERS - 1))
        for pad in (0, 5):
            wide = collate([*items, toy_long(target)], pad=pad)
            got = run_states(target.model, target.facts, wide, final=True, layers=(0, LAYERS - 1))
            n = len(batch.rows)
            close(got.final[:n], want.final)
            for layer in (0, LAYERS - 1):
                close(got.layers[layer][:n], want.layers[layer])


def toy_long(target):
    return target.template.encode("long", "Where does Ana live?", "Ana lives in Oslo. " * 4)


def test_gradients_are_those_of_the_plain_forward(target, items):
    target.model.zero_grad()
    (views,) = compute(target.model, target.facts, [items], Demand(final=True, layers=(1,)), CPU)
    (views.get("logp", None).sum() + views.get("hidden", 1).square().mean(-1).sum()).backward()
    found = {name: p.grad.clone() for name, p in target.model.named_parameters() if p.grad is not None}
    target.model.zero_grad()
    loss = torch.zeros(())
    for item in items:
        logits, states = plainly(target, item, grad=True)
        labels = torch.tensor(item.ids[item.n_prompt :])
        loss = loss + logits.log_softmax(-1).gather(1, labels[:, None]).sum() + states[2].square().mean(-1).sum()
    loss.backward()
    want = {name: p.grad for name, p in target.model.named_parameters() if p.grad is not None}
    assert found.keys() == want.keys()
    for name, grad in want.items():
        scale = max(1.0, float(grad.abs().max()))
        close(found[name] / scale, grad / scale)


def test_a_cached_reference_gives_the_same_logits_after_the_model_has_changed(target, items):
    need = [(("forget", ""), Need("logits", model="ref"), None)]
    cache = ReferenceCache(target.model, target.facts, {("forget", ""): items}, need, CPU)
    counts = torch.tensor([item.n_scored for item in items])
    want = pad_rows(torch.cat([plainly(target, item)[0] for item in items]), counts)
    with torch.no_grad():
        for parameter in target.model.parameters():
            parameter.mul_(1.5)
    close(cache.get(("forget", ""), "logits", None, [item.key for item in items]), want)


def test_answers_that_share_a_prompt_have_the_states_of_answers_alone(target):
    encode = target.template.encode
    facts = toy_corpus()[:6]
    texts = [(e, text) for e in facts for text in (e.answer, e.paraphrased_answer, *e.perturbed_answer)]
    items = [encode(e.record_id, e.question, text) for e, text in texts]
    assert min(len(item.ids) for item in items) > WINDOW
    shared, alone = by_prompt(items)
    assert len(shared) == 6 and not alone
    with torch.no_grad():
        for swept in sweep_shared(target.model, target.facts, items, shared, 150):
            logits = target.facts.head(target.model)(swept.final).split(swept.counts)
            for position, rows in zip(swept.positions, logits, strict=True):
                close(rows, plainly(target, items[position])[0])
        lone = list(sweep_alone(target.model, target.facts, items, range(len(items)), 150))
    assert sorted(i for s in lone for i in s.positions) == list(range(len(items)))


@pytest.mark.parametrize("family", SLIDING)
def test_the_window_of_a_sliding_layer_is_shorter_than_the_sequences_and_matters(family):
    target = loud(toy_model(seed=3, architecture=family, layers=LAYERS))
    item = target.template.encode_all(toy_selection().forget)[0]
    narrow = plainly(target, item)[0]
    assert target.model.config.sliding_window == WINDOW < len(item.ids)
    target.model.config.sliding_window = 48
    assert (plainly(target, item)[0] - narrow).abs().max() > 1e-3


def test_a_capped_head_is_capped():
    target = loud(toy_model(seed=3, architecture="gemma2"))
    item = target.template.encode_all(toy_selection().forget)[0]
    (views,) = compute(target.model, target.facts, [[item]], Demand(final=True, layers=()), CPU)
    assert views.get("logits", None).abs().max() <= 0.25
    with torch.no_grad():
        states = run_states(target.model, target.facts, collate([item]), final=True, layers=())
        assert target.model.get_output_embeddings()(states.final).abs().max() > 0.25


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_saved_loaded_and_digested_with_tied_heads_once(tmp_path, family):
    target = toy_model(seed=1, architecture=family)
    tied = target.model.get_output_embeddings().weight is target.model.get_input_embeddings().weight
    assert tied == (family != "phi")
    target.save(tmp_path / "model")
    again = load_causal_lm(tmp_path / "model")
    assert again.digest() == target.digest() and again.parameters == target.parameters
    assert (again.model.get_output_embeddings().weight is again.model.get_input_embeddings().weight) == tied
    with torch.no_grad():
        again.model.get_output_embeddings().weight[3, 2] += 1e-3
    assert weights_digest(again.model) != weights_digest(target.model)


def test_a_context_ends_where_the_rotary_angles_of_a_whole_batch_would_change():
    target = toy_model(architecture="phi3")
    config = target.model.config
    assert target.facts.context_limit(target.model) == 48
    angles = {"rope_type": "longrope", "original_max_position_embeddings": 32, "rope_theta": 10000.0}
    config.rope_parameters = angles
    assert target.facts.context_limit(target.model) == 32
    config.rope_parameters = {"full_attention": {"rope_type": "default"}, "sliding_attention": angles}
    assert target.facts.context_limit(target.model) == 32
    config.rope_parameters = {"rope_type": "yarn", "original_max_position_embeddings": 32}
    assert target.facts.context_limit(target.model) == 48


def test_an_unknown_family_is_refused_with_what_to_add():
    target = toy_model()
    target.model.config.model_type = "mamba"
    with pytest.raises(TargetError, match=r"'mamba'.*Add a row 'mamba' to targets/model_facts.py.*layers.*context"):
        facts_of(target.model)
