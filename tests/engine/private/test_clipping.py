"""No unit adds more than the clipping norm, and norms are those of true gradients."""

import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError
from expunge.data.collate import collate
from expunge.engine.private.clipping import (
    Ghost,
    Rows,
    require_private,
    require_rows_apart,
    require_untouched,
    untrained,
    without_hook_notes,
)
from expunge.targets.adapter import set_in
from expunge.testing.toy import toy_corpus, toy_model

CLIP = 0.3


@pytest.fixture
def language():
    """A toy model with an adapter whose two factors are both away from zero, and its losses of four sequences."""
    target = toy_model(seed=5)
    handle = set_in(target.model, Adapter(r=3, alpha=6.0, targets=("q_proj", "v_proj", "down_proj")), seed=6)
    torch.manual_seed(7)
    for name, parameter in handle.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    items = target.template.encode_all(list(toy_corpus())[:9:2])
    handle.train()

    def losses(model, rows):
        batch = collate([items[row] for row in rows])
        told = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
        nll = torch.nn.functional.cross_entropy(told[batch.rows, batch.cols], batch.labels, reduction="none")
        return torch.zeros(len(rows)).index_add(0, batch.rows, nll) / batch.counts

    return handle, losses, len(items)


def true_gradients(module, losses, count):
    """(count, P) by one pass backward for each sequence, alone in its batch."""
    trained = [p for p in module.parameters() if p.requires_grad]
    rows = [torch.autograd.grad(losses(module, [row]).sum(), trained) for row in range(count)]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def clipped(gradients):
    norms = gradients.norm(dim=1, keepdim=True)
    return gradients * (CLIP / norms).clamp(max=1.0)


def summed(clipper):
    return torch.cat([p.summed_grad.flatten() for p in clipper.trained])


@pytest.mark.parametrize("kind", [Rows, Ghost])
def test_sequences_are_clipped_by_their_true_norms(language, kind):
    handle, losses, count = language
    true = true_gradients(handle, losses, count)
    assert (true.norm(dim=1) > CLIP).any()
    clipper = kind(handle, CLIP)
    with without_hook_notes():
        norms = clipper.add(losses(clipper.wrapped, range(count)), torch.arange(count))
    torch.testing.assert_close(norms, true.norm(dim=1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(summed(clipper), clipped(true).sum(0), rtol=1e-4, atol=1e-6)
    assert summed(clipper).norm() <= count * CLIP
    clipper.close()


@pytest.mark.parametrize("kind", [Rows, Ghost])
def test_one_sequence_never_adds_more_than_the_clipping_norm(language, kind):
    handle, losses, count = language
    clipper = kind(handle, CLIP)
    for row in range(count):
        for parameter in clipper.trained:
            parameter.summed_grad = None
        with without_hook_notes():
            clipper.add(losses(clipper.wrapped, [row]), torch.zeros(1, dtype=torch.long))
        assert summed(clipper).norm() <= CLIP * (1 + 1e-5)
    clipper.close()


def test_rows_of_a_subject_are_summed_before_they_are_clipped(language):
    handle, losses, count = language
    groups = torch.tensor([0, 1, 0, 1, 0][:count])
    true = true_gradients(handle, losses, count)
    together = torch.stack([true[groups == group].sum(0) for group in range(2)])
    clipper = Rows(handle, CLIP)
    with without_hook_notes():
        norms = clipper.add(losses(clipper.wrapped, range(count)), groups)
    torch.testing.assert_close(norms, together.norm(dim=1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(summed(clipper), clipped(together).sum(0), rtol=1e-4, atol=1e-6)
    clipper.close()


def test_ghost_clipping_refuses_subjects(language):
    handle, losses, _ = language
    clipper = Ghost(handle, CLIP)
    with pytest.raises(ConfigError, match="each row by itself"):
        clipper.add(losses(clipper.wrapped, [0, 1]), torch.zeros(2, dtype=torch.long))
    clipper.close()


def test_layers_that_mix_rows_half_precision_and_frozen_models_are_refused():
    with pytest.raises(TargetError, match="cannot be trained with differential privacy"):
        require_private(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)))
    for half in (torch.bfloat16, torch.float16):
        with pytest.raises(TargetError, match="float16"):
            require_private(torch.nn.Linear(3, 2).to(half))
    with pytest.raises(TargetError, match="nothing of this model is trained"):
        require_private(torch.nn.Linear(3, 2).requires_grad_(False))


ROWS = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


class Own(torch.nn.Module):
    """A layer whose rows are changed on the way to it."""

    def __init__(self, columns=3):
        super().__init__()
        self.layer = torch.nn.Linear(columns, 2)
        self.register_buffer("met", torch.zeros(columns), persistent=False)
        self.frozen = torch.nn.Parameter(torch.zeros(columns), requires_grad=False)

    def forward(self, rows):
        return self.layer(rows)


class Centring(Own):
    def forward(self, rows):
        return self.layer(rows - rows.mean(0))


class CentringInTraining(Own):
    def forward(self, rows):
        return self.layer(rows - 1e-4 * rows.min(0).values if self.training else rows)


class Dropping(Own):
    def forward(self, rows):
        return self.layer(torch.nn.functional.dropout(rows, 0.5, self.training))


class Category(Own):
    """Its first column is one of four values, and its second one of none."""

    def forward(self, rows):
        return self.layer(torch.cat([torch.eye(4)[rows[:, 0].long()], rows[:, 1:]], 1))


class Remembering(Own):
    def forward(self, rows):
        if self.training:
            self.met = torch.maximum(self.met, rows.max(0).values)
        return self.layer(rows)


class Thawed(Own):
    def forward(self, rows):
        if self.training:
            self.frozen.data += rows.sum(0)
        return self.layer(rows)


@pytest.mark.parametrize("mixing", [Centring, CentringInTraining])
def test_a_module_that_mixes_rows_by_itself_is_found(mixing):
    with pytest.raises(TargetError, match="mixes the rows"):
        require_rows_apart(mixing(), ROWS)


def test_rows_that_stand_by_themselves_are_let_through_and_nothing_is_drawn():
    before = torch.get_rng_state()
    for module in (Own(), Dropping().train(), Dropping().eval()):
        before, was = torch.get_rng_state(), module.training
        require_rows_apart(module, ROWS)
        assert module.training is was and torch.equal(torch.get_rng_state(), before)
    categories = torch.tensor([[0.0, 5.0], [3.0, -1.0], [2.0, 0.0], [1.0, 2.0]])
    require_rows_apart(Category(5), categories)


def test_rows_that_do_not_fit_are_named_by_their_columns():
    with pytest.raises(TargetError, match="does not take rows of 3 columns"):
        require_rows_apart(Own(4), ROWS)


@pytest.mark.parametrize(("keeping", "name"), [(Remembering, "met"), (Thawed, "frozen")])
def test_a_module_that_keeps_rows_where_there_is_no_noise_is_found(keeping, name):
    with pytest.raises(TargetError, match=f"{name} changed in training"):
        require_rows_apart(keeping(), ROWS)


def test_one_bit_of_what_is_not_trained_is_enough():
    module = Own()
    before = untrained(module)
    module.layer.weight.data.add_(1.0)
    require_untouched(module, before)
    module.met[0] = -0.0
    with pytest.raises(TargetError, match="met changed"):
        require_untouched(module, before)


class Functional(Own):
    """A second layer lends its weight, and is not called."""

    def __init__(self):
        super().__init__()
        self.lent = torch.nn.Linear(3, 3, bias=False)

    def forward(self, rows):
        return self.layer(torch.nn.functional.linear(rows, self.lent.weight))


@pytest.mark.parametrize("kind", [Rows, Ghost])
def test_a_weight_that_would_get_noise_alone_is_refused(kind):
    clipper = kind(Functional().train(), CLIP)
    with pytest.raises(TargetError, match=r"lent.weight has no gradients of single rows"), without_hook_notes():
        clipper.add(clipper.wrapped(ROWS).logsumexp(1), torch.arange(4))
    clipper.close()
