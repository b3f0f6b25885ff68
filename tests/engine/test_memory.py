"""NPO on all parameters holds no second copy of the model: counted in live tensors of the size of its matrices."""

import copy
import gc
import weakref
from collections import Counter

import pytest
import torch

from expunge.core.auxiliary import Auxiliary
from expunge.core.objective import as_loss, constant
from expunge.core.training import Training
from expunge.engine import train as loop
from expunge.engine.reference import ReferenceCache
from expunge.engine.run import Run
from expunge.engine.train import train
from expunge.objectives import grad_ascent, kga, kl, nll, npo, reverse_kl
from expunge.targets.llama_spec import LlamaSpec
from expunge.testing.toy import toy_model, toy_selection, toy_vocabulary

pytestmark = pytest.mark.slow

HIDDEN, LAYERS, INNER = 512, 4, 1400
MATRICES = {HIDDEN * HIDDEN: 4 * LAYERS, HIDDEN * INNER: 3 * LAYERS}


@pytest.fixture(scope="module")
def large():
    spec = LlamaSpec(toy_vocabulary(), hidden=HIDDEN, layers=LAYERS, heads=4, kv_heads=4, inner=INNER, context=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        target = spec.build()
    assert 10e6 < target.parameters < 20e6
    return target


def live() -> Counter[int]:
    """How many distinct tensors of each matrix size are alive, gradients and optimiser state included."""
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            for tensor in (thing, thing.grad if thing.is_leaf else None):
                if tensor is not None and tensor.numel() in MATRICES and tensor.device.type == "cpu":
                    found[tensor.untyped_storage().data_ptr()] = tensor.numel()
    return Counter(found.values())


def peak(target, loss, monkeypatch) -> Counter[int]:
    """The most that is alive at any forward pass or update of two steps, beside what was alive before."""
    selection = toy_selection()
    data = {"forget": selection.forget[:2], "retain": selection.retain[:2]}
    target = copy.copy(target).clone()
    most: Counter[int] = Counter()
    gc.collect()
    others = live() - Counter(MATRICES)

    def look(*_: object) -> None:
        nonlocal most
        most |= live() - others

    update = Run._update
    handle = target.model.register_forward_hook(look)
    inner = target.model.base_model.register_forward_hook(look)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_update", lambda self, step: (look(), update(self, step), look()))
        train(target, as_loss(loss), data, Training(lr=1e-5, steps=2, batch_size=2), seed=0)
    handle.remove()
    inner.remove()
    return most


def test_npo_holds_what_ascent_holds(large, monkeypatch):
    retain = nll.bind().on("retain")
    ascent = peak(large, grad_ascent.bind() + retain, monkeypatch)
    # Weights, gradients and the two moments of AdamW.
    assert ascent == Counter({size: 4 * n for size, n in MATRICES.items()})
    assert peak(large, npo.bind(beta=0.1) + retain, monkeypatch) == ascent
    assert peak(large, npo.bind(beta=0.1) + kl.bind(), monkeypatch) == ascent


def test_a_second_copy_would_be_seen(large, monkeypatch):
    init = ReferenceCache.__init__

    def hoard(self, model, *rest):
        init(self, model, *rest)
        self.copy = copy.deepcopy(model)

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceCache, "__init__", hoard)
        most = peak(large, npo.bind(beta=0.1) + nll.bind().on("retain"), monkeypatch)
    assert most == Counter({size: 5 * n for size, n in MATRICES.items()})


def test_the_cache_is_small_beside_the_model(large):
    items = large.template.encode_all(toy_selection().retain)
    segment = ("retain", "")
    needs = [(segment, need, None) for need in (*npo.needs[1:], *kl.needs[1:])]
    cache = ReferenceCache(large.model, large.facts, {segment: items}, needs, torch.device("cpu"))
    held = sum(t.numel() for t in cache._answers.values())
    held += sum(p.numel() for p in cache._head.parameters())
    assert 0 < held < large.parameters / 100


def test_auxiliary_models_are_let_go_before_the_first_step(monkeypatch):
    made, alive = [], []
    trained, step = loop._trained, Run.step

    def noted(*given, **settings):
        auxiliary = trained(*given, **settings)
        made.append(weakref.ref(auxiliary.model))
        return auxiliary

    def look(self, number):
        gc.collect()
        alive.append([model() is not None for model in made])
        return step(self, number)

    monkeypatch.setattr(loop, "_trained", noted)
    auxiliaries = [
        Auxiliary(name, "retain", Training(lr=1e-3, steps=1), start="fresh") for name in ("expert", "novice")
    ]
    loss = kga.bind(gap=constant("knowledge_gap")) + reverse_kl.bind().on("retain")
    selection = toy_selection()
    data = {role: selection.role(role) for role in ("forget", "retain", "never_seen")}
    monkeypatch.setattr(Run, "step", look)
    train(toy_model(), loss, data, Training(lr=1e-3, steps=2, batch_size=4), seed=0, auxiliaries=auxiliaries)
    # Steps of the auxiliary models come first.
    assert len(made) == 2
    assert alive == [[], [True], [False, False], [False, False]]
