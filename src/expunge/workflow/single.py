"""One request on one model, kept in a folder: unlearn, evaluate, certify, each from what the last one wrote."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import digest, read_json
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.errors import ConfigError, EvidenceError, ExpungeError, StoreError
from expunge.core.evidence import Measurement, Proof, Replay
from expunge.core.files import write_bytes, write_json
from expunge.core.guarantee import Empirical
from expunge.core.launch import rank
from expunge.core.manifest import NAME, Manifest
from expunge.core.outcome import Cost, Outcome, Overlay
from expunge.core.policy import Assessment, Policy
from expunge.core.privacy import PrivacyPolicy
from expunge.core.registry import methods
from expunge.core.request import Records, Request, Wish
from expunge.core.selection import Selection
from expunge.core.space import with_settings
from expunge.core.wishes import AS_RETRAINED, answering, require_answers
from expunge.data.jsonl import dump_examples, read_examples
from expunge.ledger.certify import FOLDER as CERTIFICATES
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.home import home
from expunge.ledger.keys import PublicKey, ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.answers import check_answers
from expunge.workflow.asked import (
    REQUEST,
    kept_request,
    public_request,
    require_at_hand,
    require_unpurged,
    same_request,
    vault,
)
from expunge.workflow.logged import certified, committed, pinned_policy
from expunge.workflow.own_rate import warn_untuned
from expunge.workflow.privacy_pinned import FILE as PRIVACY
from expunge.workflow.privacy_pinned import Pinned, judged
from expunge.workflow.privacy_reading import with_reading
from expunge.workflow.proved import left_over, listed, require_proven
from expunge.workflow.recompute import FINDINGS, KEPT, certifying_policy, compare
from expunge.workflow.replay_note import Note, audited, note_path
from expunge.workflow.request_paths import ROLES, Paths, read_selection
from expunge.workflow.run import locked, require_extra
from expunge.workflow.saved import overlay_on
from expunge.workflow.superseded import place_certificate
from expunge.workflow.training_log import Committed, looked_up
from expunge.workflow.training_record import RECORD, Trained, parts_left
from expunge.workflow.verbs import (
    adopt,
    check,
    policy_for,
    some_given,
    unlearn_selection,
)

CARD, DATA, MODEL, FOUND = "outcome.json", "data.jsonl", "unlearned", "assessment.json"
WORK, NAMED, SCORES, BY = ".work", "model", "scores", "shadows"
EVALUATED = (FOUND, KEPT, SCORES, BY, *FINDINGS)
ELSEWHERE = (
    Residue("the original model", "it was left as it is"),
    Residue("the files that were read", "so were they"),
)


def prepare(
    paths: Paths,
    method: str,
    out: Path,
    settings: Mapping[str, Any],
    *,
    wish: Wish = "as_retrained",
    given: int | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    whole: bool = False,
) -> tuple[Selection, Any, Any]:
    """Read and check whatever can be checked without a step of training. Writes nothing.

    Args:
        paths: of model and data.
        method: name of a method.
        out: folder for the result.
        settings: of the method, where they differ from its defaults.
        wish: what the model should do instead.
        given: how many of the forgotten records the method is given; all, if None.
        policy: that the claim will be judged by; None for the one that the method names.
        seed: of the run.
        whole: check also what the model must be run for.

    Returns:
        The selection, the method and the target.

    Raises:
        ExpungeError: whatever is wrong with model, data, method, settings or folder.
    """
    require_extra("expunge unlearn")
    chosen = answering(tuned(method, settings), wish)
    pinned_policy(chosen, policy)
    if policy is not None:
        policy_for(wish, policy)
    selection = read_selection(paths)
    require_answers(selection, wish)
    read = selection if given is None else some_given(chosen, selection, given, seed=seed)
    # Of several processes the first alone looks after the folder, and may be at work in it already.
    if rank() == 0:
        check_free(out)
    target = adopt(paths.model)
    for role in ROLES:
        target.template.encode_all(selection.role(role))
    check(chosen, target, read, seed=seed, whole=whole)
    warn_untuned(chosen, settings, target)
    return selection, chosen, target


def check_free(out: Path) -> None:
    """Raise unless the folder is new, empty, or holds what a killed run left that can be continued from here."""
    require_unpurged(out)
    if (out / CARD).exists() and (out / NAME).exists():
        raise ConfigError(f"{out} already holds a result", next="Choose another --out, or remove the folder")
    if out.is_dir() and not (out / WORK).exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds other files", next="Choose an empty folder, or a name that is not taken")
    require_at_hand(out)


def remove_unfinished(out: Path) -> None:
    """Remove what an unlearning that failed had written."""
    with suppress(StoreError):
        vault().destroy(public_request(out).id)
    for path in (out / name for name in (CARD, DATA, MODEL, REQUEST, PRIVACY, NAME, WORK)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def tuned(method: str, settings: Mapping[str, Any]) -> Any:
    """A registered method with some of its settings changed.

    Raises:
        UnknownName: no method has that name, or it has no such setting.
        ConfigError: a value does not fit.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    return with_settings(methods.get(method), given)


def unlearn_paths(
    paths: Paths,
    method: str,
    out: Path,
    *,
    settings: Mapping[str, Any],
    basis: str = "",
    wish: Wish = "as_retrained",
    given: int | None = None,
    policy: Policy | None = None,
    privacy: Pinned | None = None,
    seed: int = 0,
) -> Outcome[Any] | Overlay[Any]:
    """Forget what a file lists, and keep the result with all that judging it needs.

    Of several processes that a launcher started, each trains and the first alone writes.

    Args:
        paths: of model and data.
        method: name of a method.
        out: folder; the same command continues in it.
        settings: of the method, where they differ from its defaults.
        basis: ground of the request.
        wish: what the model should do instead.
        given: how many of the forgotten records the method is given; all, if None.
        policy: that the claim will be judged by, and no other of its name; None for the one that the method names.
        privacy: that must accept the epsilon of a method that certifies one; None for no such policy.
        seed: of the run.

    Raises:
        ExpungeError: whatever is wrong with model, data, method or settings, or the privacy policy does not accept
            what is claimed; ``out`` then holds no result.
    """
    selection, chosen, target = prepare(paths, method, out, settings, wish=wish, given=given, policy=policy, seed=seed)
    read = None if given is None else some_given(chosen, selection, given, seed=seed)
    asked: dict[str, Any] = {"wish": wish, "given": given}
    if privacy:
        privacy.require(chosen.claim)
    if rank():
        return unlearn_selection(target, selection, chosen, seed=seed, workdir=out / WORK, **asked)
    with locked(out):
        check_free(out)
        (out / WORK).mkdir(exist_ok=True)
        try:
            fixed = policy if privacy is None else privacy.file.policy
            asked_of(out, selection, basis, target, chosen, seed, read=read, wish=wish, policy=fixed)
            outcome = unlearn_selection(target, selection, chosen, seed=seed, workdir=out / WORK, **asked)
            outcome = claiming(outcome, pinned_policy(chosen, policy))
            keep_result(out, paths.model, selection, accepted(outcome, privacy, out), settings)
        except ExpungeError:
            remove_unfinished(out)
            raise
        shutil.rmtree(out / WORK, ignore_errors=True)
    return outcome


def asked_of(
    out: Path,
    selection: Selection,
    basis: str,
    target: Any,
    method: Any,
    seed: int,
    *,
    read: Selection | None = None,
    wish: Wish = "as_retrained",
    policy: Policy | PrivacyPolicy | None = None,
) -> Request:
    """Keep a request, and log how it will be answered, before anything is trained.

    Args:
        out: folder of the result.
        selection: whose forget set is asked for.
        basis: ground of the request.
        target: as it is before.
        method: as it is set.
        seed: of the run.
        read: what the method will read, where that is not the selection: other requests are answered together with
            this one, or some of the records are given.
        wish: what the model should do instead.
        policy: that the claim will be judged by; None for the one that the method names.

    Raises:
        LedgerError: the log cannot be used.
    """
    request = same_request(out, Records(*selection.forget.ids), subject="the forget set", basis=basis, wish=wish)
    committed(request, read or selection, target, method, seed, policy)
    return request


def claiming(outcome: Outcome[Any] | Overlay[Any], policy: Policy | None) -> Outcome[Any] | Overlay[Any]:
    """An outcome whose empirical claim is under one policy and no other of its name. Other claims stay as they are."""
    if policy is None or isinstance(outcome, Overlay) or not isinstance(outcome.claim, Empirical):
        return outcome
    return replace(outcome, claim=Empirical(policy.name, digest(policy)))


def accepted(outcome: Any, privacy: Pinned | None, out: Path) -> Any:
    """An outcome with the privacy policy that accepts it, whose file is kept; as it is without one.

    Raises:
        ClaimError: the policy does not accept it.
    """
    if privacy is None:
        return outcome
    privacy.require(outcome.claim)
    privacy.keep(out)
    return replace(outcome, notes={**outcome.notes, **privacy.told()})


def keep_result(
    out: Path,
    model: str,
    selection: Selection,
    outcome: Any,
    settings: Mapping[str, Any],
    *,
    trained: Trained | None = None,
) -> None:
    """Write a result with all that judging it needs; the request is kept already, the manifest comes last.

    Args:
        out: folder.
        model: that was unlearned.
        selection: what was forgotten and kept.
        outcome: the result.
        settings: of the method, where they differ from its defaults; shadow models forget by them too.
        trained: how the result can be trained from scratch, where that is known.
    """
    everything = [e for role in ROLES for e in selection.role(role)]
    write_bytes(out / DATA, dump_examples(everything))
    outcome.target.save(out / MODEL)
    if trained is not None:
        trained.write(out / MODEL)
    replay = None if isinstance(outcome, Overlay) else outcome.replay
    card = {
        "original": model if not Path(model).exists() else str(Path(model).resolve()),
        "before": outcome.before,
        "after": outcome.target.digest(),
        "method": outcome.method,
        "recipe": outcome.recipe,
        "overlay": isinstance(outcome, Overlay),
        "claim": None if isinstance(outcome, Overlay) else TypeAdapter(type(outcome.claim)).dump_python(outcome.claim),
        "claim_type": type(outcome.claim).__name__,
        "seed": outcome.seed,
        "cost": outcome.cost.told(),
        "notes": outcome.notes,
        "wish": outcome.wish,
        "settings": {name: value for name, value in settings.items() if value is not None},
        **({"replay": vars(replay)} if replay else {}),
        **_proved(outcome),
    }
    write_json(out / CARD, card)
    write_manifest(out)


def _proved(outcome: Any) -> dict[str, Any]:
    """What the card says of a proof, and of files that still tell of what was forgotten."""
    if isinstance(outcome, Overlay) or outcome.proof is None:
        return {}
    return {"proof": TypeAdapter(Proof).dump_python(outcome.proof, mode="json"), "left": outcome.left}


def write_manifest(out: Path) -> None:
    """List every file of the folder, but not what is about to be removed from it."""
    Manifest.of(out, skipping=(WORK,)).write(out)


def require_result(out: Path) -> None:
    """Raise unless a folder holds a whole result.

    Raises:
        StoreError: it does not.
        ConfigError: it was purged.
    """
    require_unpurged(out)
    for name in (CARD, NAME):
        if not (out / name).is_file():
            raise StoreError(f"{out} holds no result", why=f"there is no {name}", next="Run expunge unlearn first")


def read_outcome(out: Path, *, ignoring: Collection[str] = ()) -> Outcome[Any] | Overlay[Any]:
    """What ``unlearn_paths`` kept.

    Args:
        out: folder of the result.
        ignoring: files and folders that may have changed since they were written.

    Raises:
        StoreError: the folder holds no result, or a file of it changed.
        TargetError: the original cannot be loaded.
    """
    from expunge.core import guarantee

    require_result(out)
    # Certificates may be moved, and are checked by verify.
    listed = (name for name in Manifest.read(out).changed(out) if not name.startswith(f"{CERTIFICATES}/"))
    changed = [name for name in listed if name.partition("/")[0] not in ignoring]
    if changed:
        evaluated = all(name.partition("/")[0] in EVALUATED for name in changed)
        again = "Run expunge evaluate again" if evaluated else "Restore it, or run expunge unlearn again"
        raise StoreError(f"{out / changed[0]} changed since it was written", why="its digest differs", next=again)
    card = read_json(out / CARD)
    examples = read_examples(out / DATA)
    parts: dict[str, Any] = {role: examples.of(role) for role in ROLES}
    # Whether a kept record may repeat a forgotten one was settled before the run.
    selection = Selection(**parts, repeats=True)
    original = adopt(card["original"])
    shared: dict[str, Any] = {
        "before": card["before"],
        "method": card["method"],
        "recipe": card["recipe"],
        "selection": selection,
        "seed": card["seed"],
        "cost": Cost.read(card["cost"]),
        "notes": card["notes"],
        "wish": wish_of(card),
    }
    if original.digest() != card["before"]:
        raise StoreError(
            f"the model at {card['original']} is not the one that was unlearned",
            why="its digest differs",
            next="Restore it, or run expunge unlearn again",
        )
    if card["overlay"]:
        return Overlay(target=overlay_on(out / MODEL, original), base=original, **shared)
    claim = getattr(guarantee, card["claim_type"])(**card["claim"])
    replay = Replay(**card["replay"]) if "replay" in card else None
    proof = TypeAdapter(Proof).validate_python(card["proof"]) if "proof" in card else None
    own: dict[str, Any] = {"claim": claim, "replay": replay, "proof": proof, "left": card.get("left", {})}
    return Outcome(target=adopt(out / MODEL), original=original, **own, **shared)


def wish_of(card: Mapping[str, Any]) -> Wish:
    """The wish that a result answers; one from before there were several forgot as if retrained."""
    return card.get("wish", AS_RETRAINED)


def _check_own(out: Path, outcome: Outcome[Any] | Overlay[Any]) -> None:
    """Raise unless the findings in a folder are what its score tables come to, and those are of its own models.

    Raises:
        EvidenceError: names the first that is not.
    """
    again = compare(out, write=False).files if (out / KEPT).is_file() else {KEPT: "missing"}
    changed = next((name for name, state in sorted(again.items()) if state != "same"), None)
    if changed:
        raise EvidenceError(
            f"{out / changed} is not what the score tables come to",
            why="computing it again gives other bytes",
            next="Run expunge evaluate again",
        )
    measured = [(kept["before"], kept["after"]) for kept in read_json(out / KEPT)["models"].values()]
    if (outcome.before, outcome.target.digest()) not in measured:
        raise EvidenceError(
            f"what was measured in {out} is another model", why="its digest differs", next="Run expunge evaluate again"
        )


def _looked_up(out: Path, outcome: Outcome[Any], original: Path, note: Note) -> Committed:
    """What the log of this home was told of the training behind a result, by the recipe that a note says was run."""
    trained = Trained.read(out / MODEL)
    if (trained.recipe_digest, trained.seed) != (note.recipe, note.seed):
        return Committed(False, f"{RECORD} states another recipe or seed than the note")
    return looked_up(trained, outcome.before, kept=outcome.selection.retain, original=original)


def certify_folder(out: Path, *, key: PublicKey | None = None) -> tuple[Certificate, Path]:
    """Sign what a folder holds. Without an evaluation the certificate says that nothing was measured.

    Args:
        out: folder of the result.
        key: the only key to accept under the file of the policy that judged; None for those that are trusted here.

    Raises:
        StoreError: the folder holds no result.
        EvidenceError: the stored findings are malformed, or not what the score tables of this model come to.
        ClaimError: the result is of another request.
        LedgerError: another certificate is there already, or no trusted key signed the policy that judged or the note
            of an audit.
    """
    from expunge.workflow.conclude import residue_below

    require_extra("expunge certify")
    require_result(out)
    with locked(out):
        shutil.rmtree(out / WORK, ignore_errors=True)
        outcome = read_outcome(out)
        request = kept_request(out)
        check_answers(request, outcome)
        if (out / FOUND).is_file():
            _check_own(out, outcome)
        known: dict[str, Any] = {}
        if (out / FOUND).is_file():
            body = read_json(out / FOUND)
            try:
                known = {
                    "policy": certifying_policy(read_json(out / KEPT), key),
                    "assessment": TypeAdapter(Assessment).validate_python(body["assessment"]),
                    "evidence": tuple(TypeAdapter(Measurement).validate_python(m) for m in body["measurements"]),
                }
                told = {name: body[name] for name in ("attempts", "references")}
                outcome = replace(outcome, notes={**outcome.notes, "evaluation": told})
            except (KeyError, ValidationError) as error:
                raise EvidenceError(f"{out / FOUND} is malformed", why=str(error)[:200]) from error
        original = Path(read_json(out / CARD)["original"])
        if isinstance(outcome, Outcome) and outcome.replay:
            replay, known["audit"] = audited(out, outcome.replay, partial(_looked_up, out, outcome, original))
            outcome = replace(outcome, replay=replay)
        judged(out, outcome, key)
        require_proven(outcome, read_json(out / CARD)["settings"], request.id)
        left = (*parts_left(original), *left_over(outcome))
        certificate = with_reading(issue(request, outcome, residue=(*residue_below(out), *left, *ELSEWHERE), **known))
        signer = ensure_key(home())
        trust(home(), signer.public, "this installation")
        artefacts = {**listed(out / MODEL, outcome.target), "outcome": out / CARD}
        if (out / FOUND).is_file():
            artefacts["assessment"] = out / FOUND
            artefacts["scores"] = out / SCORES
            artefacts["evidence.json"] = out / "evidence.json"
        path = certificate_path(out, NAMED)
        # An audit may come after a certificate, which is then set aside; nothing else replaces one.
        write = place_certificate if note_path(out).is_file() else write_certificate
        write(certificate, artefacts, out, path, signer)
        certified(certificate, path, out)
        write_manifest(out)
    return certificate, path
