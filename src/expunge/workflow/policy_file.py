"""Policies as signed files: made, exchanged, pinned by their digest and read without a model.

The file is a DSSE envelope whose payload is the canonical JSON of the policy and nothing else, so that the digest of
the payload is the digest of the policy that certificates state. The policies that ship are published so, beside their
source, under a key whose private half was thrown away: nobody can sign another in its name.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from expunge.core.access import Access
from expunge.core.canonical import canonical_bytes, digest, read_json
from expunge.core.certificate import printable
from expunge.core.errors import ConfigError, EvidenceError, LedgerError
from expunge.core.policy import Policy
from expunge.core.registry import policies
from expunge.ledger import envelope
from expunge.ledger.certify import read_small
from expunge.ledger.home import home_path
from expunge.ledger.keys import PublicKey, Signer, load_public
from expunge.ledger.trust import UNKNOWN
from expunge.ledger.verify import signer_of
from expunge.workflow.stated import stated_as

PAYLOAD_TYPE = "application/vnd.expunge.policy+json"
SUFFIX = ".policy.json"
PUBLISHED = Path(__file__).parents[1] / "evaluation" / "policies"
"""Where the published files lie, beside the policies that they state."""
PUBLISHER = PUBLISHED / "publisher.key.json"
LEAST_LEVEL, LEAST_UTILITY = 0.9, 0.5
"""Of a policy from a file: two one-sided tests at 5 % or less, and at least half of what the original could do."""
DETECTORS = ("no_op", "collapse", "gibberish", "refusal")
"""Those that each policy must ask for."""
ALSO = ("disagreement", "refusal_on_forget")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class PolicyFile:
    """A policy file as read.

    Args:
        path: of the file.
        policy: that it states; to be believed only if the file is ``ok``.
        digest: of the policy.
        keyid: of the key that is said to have signed.
        signer: trusted name of that key, or ``UNKNOWN``.
        valid: whether the signature is that key's; None where the key is not held, so that it cannot be checked.
    """

    path: Path
    policy: Policy
    digest: str
    keyid: str
    signer: str
    valid: bool | None

    @property
    def ok(self) -> bool:
        """Whether a trusted key signed it."""
        return self.valid is True

    @property
    def exit_code(self) -> int:
        """0 if a trusted key signed it, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """What to print, most important first."""
        if self.valid is False:
            return [f"signature INVALID, said to be by {self.keyid}", "NOT verified"]
        told = [f"signature valid, signer {self.signer}" if self.valid else f"signer {UNKNOWN}, signature not checked"]
        told.append(f"key {self.keyid}{'' if self.valid else ', which is not trusted here'}")
        if not self.valid:
            told.append("to accept it, get the signer's public key from the signer and give it with --key")
        told.append(f"policy {self.policy.name}, version {self.policy.version}, {self.digest}")
        if differs := differing(self.policy):
            told.append(differs)
        return [*map(printable, told), "verified" if self.ok else "NOT verified"]


def published_path(name: str) -> Path:
    """Where the published form of a policy lies.

    >>> published_path("research-tofu").name
    'research-tofu.policy.json'
    """
    return PUBLISHED / f"{name}{SUFFIX}"


def publisher() -> PublicKey:
    """The key that signed the published policies.

    Raises:
        LedgerError: its file is not the one that the source names.
    """
    from expunge.evaluation.policies._publisher import KEYID

    key = load_public(PUBLISHER)
    if key.keyid != KEYID:
        raise LedgerError(
            f"{PUBLISHER} is not the publisher's key", why=f"its key is {key.keyid}", next="Install again"
        )
    return key


def registered(name: str) -> Policy | None:
    """The policy that this version has under a public name; None if it has none."""
    known = name.replace("-", "_")
    return cast("Policy", policies.get(known)) if known in policies.names() else None


def earlier(name: str) -> list[Policy]:
    """What shipped under a public name in earlier versions."""
    from expunge.evaluation.policies._earlier import EARLIER

    return [policy for policy in EARLIER if policy.name == name]


def promised(policy: str, pinned: str) -> Policy | None:
    """The policy that a claim was fixed to before the run; None where no policy was.

    Args:
        policy: its name.
        pinned: its digest; empty where none was fixed.

    Raises:
        EvidenceError: it is none that ships or shipped.
    """
    if not pinned:
        return None
    ours = registered(policy)
    found = next((p for p in (ours, *earlier(policy)) if p and digest(p) == pinned), None)
    if found is None:
        raise EvidenceError(
            f"the result is claimed under the policy {policy}, {pinned}, which does not ship here",
            why="it was fixed before the run, by a file or by another version",
            next="Give that file again with --policy, or another policy by name",
        )
    return found


def differing(policy: Policy) -> str:
    """In one line that a policy is not the one of its name here; empty if it is, or if none here has its name."""
    ours = registered(policy.name)
    if ours is None or digest(ours) == digest(policy):
        return ""
    return f"not the {policy.name} of this version of expunge, which is version {ours.version}, {digest(ours)}"


def shipped(policy: Policy) -> bool:
    """Whether a policy is one that ships, in this version or an earlier one.

    >>> from expunge.evaluation.policies.research_tofu import research_tofu
    >>> from dataclasses import replace
    >>> shipped(research_tofu), shipped(replace(research_tofu, utility_floor=0.6))
    (True, False)
    """
    ours = registered(policy.name)
    return ours is not None and digest(policy) in {digest(known) for known in (ours, *earlier(policy.name))}


def disputed(policy: Policy) -> list[str]:
    """Why a policy that a certificate states must not be taken for what its name says; none if it may.

    >>> from expunge.evaluation.policies.research_tofu import research_tofu
    >>> from dataclasses import replace
    >>> disputed(research_tofu), disputed(replace(research_tofu, name="ours", level=0.8))
    ([], ['judged by ours, which cannot judge: level is out of range'])
    """
    if registered(policy.name) is None:
        return [f"judged by {policy.name}, which cannot judge: {wrong}" for wrong in unsound(policy)]
    return [] if shipped(policy) else [f"judged by {policy.name}, {differing(policy)}"]


def standing(policy: Policy) -> str:
    """What a reader must know of a policy that is not the one of its name here; empty if it is."""
    if registered(policy.name) is None:
        return f"{digest(policy)}, which does not ship with expunge: only its signed file tells whose it is"
    return differing(policy) and f"an earlier one: {differing(policy)}"


def stated(body: Any, what: str) -> Policy:
    """A policy from JSON, its numbers as numbers or as decimal strings.

    Args:
        body: as ``policy show --json`` prints one.
        what: names it in messages.

    Raises:
        ConfigError: it is no policy, or one that asks for nothing or for what cannot be.
    """
    policy = stated_as(Policy, body, what, "policy")
    for wrong in unsound(policy):
        raise ConfigError(f"{what} cannot judge", why=wrong)
    return policy


def unsound(policy: Policy) -> list[str]:
    """Why a policy cannot judge: what it asks for is nothing, cannot be, or is too little to be called evidence."""
    names = [criterion.attack for criterion in policy.criteria]
    found = [] if names else ["it lists no attack, so that any model would meet it"]
    found += [f"it lists {name} twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not _NAME.fullmatch(policy.name) or not policy.version.isprintable() or not policy.version:
        found.append("its name is not of small letters, digits and dashes, or it has no version")
    ranges = {
        "utility_floor": LEAST_UTILITY <= policy.utility_floor <= 1,
        "level": LEAST_LEVEL <= policy.level < 1,
        "positive_control": 1 <= policy.positive_control < math.inf,
        "detectors": set(DETECTORS) <= set(policy.detectors) <= {*DETECTORS, *ALSO},
        **{f"margin of {c.attack}": 0 < c.margin < 1 for c in policy.criteria},
        **{f"access of {c.attack}": set(c.access) <= set(Access.__members__) for c in policy.criteria},
    }
    return [*found, *(f"{name} is out of range" for name, right in ranges.items() if not right)]


def require_known(policy: Policy) -> Policy:
    """The policy, if all that it asks for can be measured.

    Raises:
        EvidenceError: no attack, statistic or score has that name here, or it is not about records.
    """
    from expunge.evaluation.attacking import attack_statistic
    from expunge.evaluation.per_item import Unmeasured

    for criterion in policy.criteria:
        try:
            attack_statistic(criterion.attack)
        except Unmeasured as reason:
            raise EvidenceError(
                f"the policy {policy.name} asks for {criterion.attack}",
                why=str(reason),
                next="Use the version of expunge that it was written for, or see expunge list attacks",
            ) from reason
    return policy


def read_policy(path: Path) -> Policy:
    """A policy from a file that is not signed yet.

    Raises:
        StoreError: the file cannot be read or is not JSON.
        ConfigError: it holds no policy, or one that asks for what cannot be.
        EvidenceError: it asks for an attack that is not known.
    """
    return require_known(stated(read_json(path), str(path)))


def sign_policy(policy: Policy, signer: Signer) -> bytes:
    """The policy file.

    Raises:
        ConfigError: this version has another policy of that name.
        LedgerError: the signer's signature is not its key's.
    """
    if differs := differing(policy):
        raise ConfigError(f"the name {policy.name} is taken", why=differs, next="Give the policy a name of its own")
    return envelope.sign(canonical_bytes(policy), signer, PAYLOAD_TYPE)


def verify_policy(
    path: Path | str, *, key: PublicKey | None = None, home: Path | None = None, allow_demo: bool = False
) -> PolicyFile:
    """Verify a policy file.

    Args:
        path: of the file.
        key: the only key to accept. Without it, one trusted in ``home``, or the one that signed what ships.
        home: where trusted keys are; ``EXPUNGE_HOME`` by default. It is only read.
        allow_demo: accept keys that anyone can sign with.

    Returns:
        What was found; ``ok`` only if a trusted key signed the very bytes.

    Raises:
        LedgerError: the file cannot be read, is malformed or states no policy, or the key is not the signer's.
    """
    path = Path(path)
    return verify_bytes(read_small(path, "policy file"), path, key=key, home=home, allow_demo=allow_demo)


def verify_bytes(
    data: bytes, path: Path, *, key: PublicKey | None = None, home: Path | None = None, allow_demo: bool = False
) -> PolicyFile:
    """``verify_policy`` of what is read already, and was kept at a path."""
    ours = publisher()
    try:
        sealed = envelope.open_envelope(data, PAYLOAD_TYPE)
        body = envelope.parse_canonical(sealed.payload, "payload")
    except LedgerError as error:
        why = f"{error.what.removeprefix('malformed certificate: ')}: {error.why}"
        raise LedgerError(f"{path} is not a policy file", why=why, next="Sign one with: expunge policy sign") from error
    if key is None and sealed.keyid == ours.keyid:
        held, name = cast("tuple[PublicKey | None, str]", (ours, ours.name))
    else:
        held, name = signer_of(sealed.keyid, key, home_path() if home is None else home, allow_demo)
    valid = None if held is None else held.verifies(sealed.signature, sealed.signed)
    try:
        policy = stated(body, str(path))
    except ConfigError as error:
        raise LedgerError(error.what, why=error.why) from error
    if canonical_bytes(policy) != sealed.payload:
        raise LedgerError(f"{path} is not a policy file", why="its policy is not spelled as this library spells it")
    return PolicyFile(path, policy, digest(policy), sealed.keyid, name, valid)


def trusted_policy(given: str, key: PublicKey | None = None) -> Policy:
    """A policy by its name, or from a file that a trusted key signed.

    Args:
        given: public name, or path of a policy file.
        key: the only key to accept for a file.

    Raises:
        UnknownName: no policy has that name.
        ConfigError: a key was given for a name.
        LedgerError: the file cannot be read, or no trusted key signed it.
        EvidenceError: it asks for an attack that is not known, or is another policy than this version has of its name.
    """
    return judging(given, key)[0]


def judging(given: str, key: PublicKey | None = None) -> tuple[Policy, bytes]:
    """``trusted_policy``, and the signed bytes that it came in; none of one that was named."""
    # A name is a name even where a file is called alike: what lies in the working folder must not change what judges.
    if registered(given) is not None or not (given.endswith(".json") or os.path.isfile(given)):
        if key is not None:
            raise ConfigError(
                "a key goes with a policy file", why=f"{given} is the name of a policy", next="Leave it out"
            )
        return policies.get(given.replace("-", "_")), b""
    data = read_small(Path(given), "policy file")
    found = verify_bytes(data, Path(given), key=key)
    require_signed(found)
    if differs := differing(found.policy):
        raise EvidenceError(f"the policy file {given} cannot judge here", why=differs, next="Name the policy instead")
    return require_known(found.policy), b"" if registered(found.policy.name) else data


def require_signed(found: PolicyFile) -> None:
    """Raise unless a trusted key signed a policy file.

    Raises:
        LedgerError: says who is said to have.
    """
    if not found.ok:
        raise LedgerError(
            f"the policy file {found.path} is not verified",
            why=found.lines()[0],
            next="Give the public key of whoever signed it with --key, or trust it with: expunge keys trust",
        )
