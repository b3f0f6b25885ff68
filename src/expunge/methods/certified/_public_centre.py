"""The model about which weights are clipped: whether the rest of the given one is nothing but it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from expunge.core.errors import ClaimError


def require_same_beside(target: Any, centre: Any, trained: Collection[str]) -> None:
    """Raise unless a causal LM is its centre in all but the values of some parameters.

    What is not clipped and hidden under noise goes out as it is. So it has to be public: buffers, the other parameters,
    architecture and tokenizer are those of the centre, bit for bit.

    Args:
        target: that is to forget.
        centre: that never saw the records, on the word of whoever names it.
        trained: names of the parameters that may differ.

    Raises:
        ClaimError: names what differs.
    """
    from expunge.targets.causal_lm import config_digest, tokenizer_digest

    if config_digest(target.model) != config_digest(centre.model):
        raise _differs("its configuration is another")
    if tokenizer_digest(target.tokenizer) != tokenizer_digest(centre.tokenizer):
        raise _differs("its tokenizer is another")
    own, other = _tensors(target.model), _tensors(centre.model)
    if {n: (v.shape, v.dtype) for n, v in own.items()} != {n: (v.shape, v.dtype) for n, v in other.items()}:
        raise _differs("its weights have other names, shapes or types")
    apart = [name for name in sorted(own) if name not in trained and not _same(own[name], other[name])]
    if apart:
        raise _differs(f"outside of what is clipped {len(apart)} tensors differ, for example {apart[0]}")


def started_from(target: Any, centre: Any, trained: Collection[str]) -> tuple[Any, dict[str, Any] | None]:
    """A copy to be changed: the centre's, so that nothing of the target goes out beside the weights that it has here.

    Args:
        target: that is to forget; it stays as it is.
        centre: None for 0.
        trained: names of the parameters that are taken from the target.

    Returns:
        The copy, and the centre's values of these parameters; None for 0.
    """
    copy, own = (centre or target).clone(), dict(target.model.named_parameters())
    of = {name: parameter for name, parameter in copy.model.named_parameters() if name in trained}
    about = {name: parameter.detach().clone() for name, parameter in of.items()} if centre else None
    for name, parameter in of.items():
        parameter.data.copy_(own[name].data)
    return copy, about


def _tensors(model: Any) -> dict[str, Any]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _same(one: Any, other: Any) -> bool:
    """Whether two tensors of one shape hold the same bytes: 0 and -0 are two values that could tell something."""
    import torch

    bytes_of = [value.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for value in (one, other)]
    return torch.equal(*bytes_of)


def _differs(why: str) -> ClaimError:
    return ClaimError(
        "the model is not its centre beside what is clipped",
        why=why,
        next="Name the base that it was fine-tuned from, and widen trainable to all that was trained",
    )
