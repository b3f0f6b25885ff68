"""Overlays on disk: an adapter is found again on the target below it, and judged as what it is."""

import pytest

import expunge
from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.errors import TargetError
from expunge.core.guarantee import Suppressed, Unproven
from expunge.data.memory import MemoryStore
from expunge.methods.gradient import npo
from expunge.methods.gradient._gradient import Gradient
from expunge.testing.toy import toy_recipe, toy_selection, toy_store
from expunge.workflow.saved import Saved
from expunge.workflow.verbs import unlearn_selection

METHOD = Gradient(npo.loss, lr=1e-2, steps=4, adapter=Adapter(r=2, alpha=4, targets=("q_proj",)), keep_overlay=True)


@pytest.fixture(scope="module")
def trained():
    return toy_recipe(steps=40).train(toy_store(), seed=0)


@pytest.fixture
def overlay(trained):
    return unlearn_selection(trained, toy_selection(), METHOD)


def test_an_adapter_in_a_folder_is_loaded_on_its_base(tmp_path, trained, overlay):
    trained.save(tmp_path / "base")
    overlay.target.save(tmp_path / "overlay")
    base = Saved(tmp_path / "base")
    saved = Saved(tmp_path / "overlay", inner=base)
    assert saved.kind == "overlay" and saved.digest() == saved.target.digest() == overlay.target.digest()
    assert saved.oracle(Access.all()).access == Access.TEXT | Access.LOGPROBS
    assert saved.target.base.digest() == trained.digest() == base.digest()
    with pytest.raises(TargetError, match=r"is an overlay.*the target below it is not given"):
        _ = Saved(tmp_path / "overlay").target


def test_an_adapter_overlay_is_measured_and_earns_no_more_than_suppressed(overlay):
    kept = MemoryStore(toy_selection().retain)
    references = [toy_recipe(steps=40).train(kept, seed=s) for s in (1, 2)]
    found = expunge.evaluate(overlay, reference=references[0], second=references[1])
    request = expunge.Request("user-1", expunge.Records(*overlay.selection.forget.ids))
    certificate = expunge.certify(request, overlay, found)
    assert certificate.claimed == Suppressed()
    assert certificate.earned in (Suppressed(), Unproven())
    assert "model (overlay)" in str(certificate)
