"""Policies as signed files: published forms are the policies, and nothing but what a trusted key signed is believed."""

import importlib.util
import json
from dataclasses import replace

import pytest

from expunge.core.access import Access
from expunge.core.canonical import canonical_bytes, digest, plain
from expunge.core.errors import ConfigError, EvidenceError, LedgerError
from expunge.core.measure import Statistic
from expunge.core.policy import Criterion, Policy
from expunge.core.registry import attacks, metrics, policies
from expunge.ledger import envelope
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.policy_file import (
    PAYLOAD_TYPE,
    PUBLISHED,
    differing,
    disputed,
    earlier,
    published_path,
    publisher,
    require_known,
    shipped,
    sign_policy,
    stated,
    trusted_policy,
    verify_policy,
)

MINE = Policy("mine", "3", (Criterion("min_k", 0.07, ("LOGPROBS",), "Can they be told?", why="a third of 0.2"),), 0.85)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def signed(home, tmp_path):
    path = tmp_path / "mine.policy.json"
    path.write_bytes(sign_policy(MINE, ensure_key(home)))
    return path


@pytest.mark.parametrize("name", policies.names())
def test_each_policy_is_published_byte_for_byte(name, home):
    policy = policies.get(name)
    assert policy.name == name.replace("_", "-")
    found = verify_policy(published_path(policy.name))
    assert found.ok and found.policy == policy and found.digest == digest(policy), "run tools/sign_policies.py"
    payload = envelope.open_envelope(published_path(policy.name).read_bytes(), PAYLOAD_TYPE).payload
    assert payload == canonical_bytes(policy)
    assert not differing(policy)


def test_nothing_else_is_published(home):
    assert {path.name for path in PUBLISHED.glob("*.policy.json")} == {
        published_path(policy.name).name for _, policy in policies.items()
    }
    assert publisher().keyid == verify_policy(published_path("research-tofu")).keyid


def test_what_a_trusted_key_signed_is_believed_and_no_other(signed, home, tmp_path):
    key = ensure_key(home)
    unknown = verify_policy(signed)
    assert (unknown.ok, unknown.valid, unknown.signer, unknown.exit_code) == (False, None, "UNKNOWN", 1)
    with pytest.raises(LedgerError, match="not verified"):
        trusted_policy(str(signed))
    assert trusted_policy(str(signed), key.public) == MINE
    assert verify_policy(signed, key=key.public).exit_code == 0
    with pytest.raises(LedgerError, match="wrong key"):
        verify_policy(signed, key=ensure_key(tmp_path / "another").public)
    trust(home, key.public, "the office")
    assert verify_policy(signed).signer == "the office" and trusted_policy(str(signed)) == MINE


def test_a_changed_policy_is_not_believed(signed, home):
    key = ensure_key(home).public
    data = json.loads(signed.read_bytes())
    other = json.loads(envelope.sign(canonical_bytes(replace(MINE, utility_floor=0.6)), ensure_key(home), PAYLOAD_TYPE))
    signed.write_bytes(canonical_bytes({**data, "payload": other["payload"]}))
    found = verify_policy(signed, key=key)
    assert found.valid is False and not found.ok and "INVALID" in found.lines()[0]


def test_a_signature_under_a_certificate_is_none_under_a_policy(signed, home):
    signed.write_bytes(envelope.sign(canonical_bytes(MINE), ensure_key(home)))
    with pytest.raises(LedgerError, match="not a policy file"):
        verify_policy(signed)
    data = json.loads(signed.read_bytes())
    signed.write_bytes(canonical_bytes({**data, "payloadType": PAYLOAD_TYPE}))
    assert verify_policy(signed, key=ensure_key(home).public).valid is False


def test_the_name_of_a_policy_that_ships_is_taken(home):
    weaker = replace(policies.get("research_tofu"), utility_floor=0.6)
    with pytest.raises(ConfigError, match="is taken"):
        sign_policy(weaker, ensure_key(home))
    assert "version 3" in differing(weaker)
    path = home.with_name("weaker.policy.json")
    path.write_bytes(envelope.sign(canonical_bytes(weaker), ensure_key(home), PAYLOAD_TYPE))
    with pytest.raises(EvidenceError, match="cannot judge here"):
        trusted_policy(str(path), ensure_key(home).public)


def test_only_the_one_spelling_is_read(home, tmp_path):
    path = tmp_path / "mine.policy.json"
    body = {**plain(MINE), "level": "0.90"}
    path.write_bytes(envelope.sign(canonical_bytes(body), ensure_key(home), PAYLOAD_TYPE))
    with pytest.raises(LedgerError, match="not spelled"):
        verify_policy(path)


def test_a_policy_is_read_from_what_show_prints():
    assert stated(json.loads(json.dumps(plain(MINE))), "it") == MINE
    as_numbers = plain(MINE) | {"utility_floor": 0.85, "level": 0.9}
    assert digest(stated(as_numbers, "it")) == digest(MINE)


@pytest.mark.parametrize(
    "change",
    [
        {"criteria": []},
        {"criteria": [plain(MINE.criteria[0])] * 2},
        {"criteria": [plain(replace(MINE.criteria[0], margin=0.0))]},
        {"criteria": [plain(replace(MINE.criteria[0], margin=float("nan")))]},
        {"criteria": [plain(replace(MINE.criteria[0], access=("EVERYTHING",)))]},
        {"utility_floor": "0"},
        {"level": "1"},
        {"level": "0.89"},
        {"utility_floor": "0.49"},
        {"detectors": ["no_op", "collapse", "gibberish"]},
        {"detectors": [*MINE.detectors, "omens"]},
        {"criteria": [plain(MINE.criteria[0]) | {"budget": "vast"}]},
        {"positive_control": "inf"},
        {"positive_control": "0.5"},
        {"detectors": []},
        {"name": "My Policy"},
        {"version": ""},
        {"wish": "vanish"},
        {"surprise": "1"},
    ],
)
def test_what_cannot_judge_is_refused(change):
    with pytest.raises(ConfigError, match=r"cannot judge|is not a policy"):
        stated(plain(MINE) | change, "it")


def test_an_attack_that_nobody_knows_is_refused_before_anything_is_measured(home, tmp_path):
    path, key = tmp_path / "later.policy.json", ensure_key(home)
    later = replace(MINE, criteria=(replace(MINE.criteria[0], attack="telepathy"),))
    path.write_bytes(sign_policy(later, key))
    assert verify_policy(path, key=key.public).ok
    with pytest.raises(EvidenceError, match="telepathy"):
        trusted_policy(str(path), key.public)


def test_a_reason_for_a_margin_changes_the_digest_and_its_absence_does_not():
    bare = replace(MINE.criteria[0], why="")
    assert "why" not in plain(bare) and digest(bare) != digest(MINE.criteria[0])


@pytest.mark.parametrize("attack", ["weight_delta", "bucket_flips"])
def test_an_attack_on_tensors_can_be_listed_by_no_policy(attack):
    listed = replace(MINE, criteria=(replace(MINE.criteria[0], attack=attack),))
    with pytest.raises(EvidenceError, match=f"asks for {attack}") as refused:
        require_known(listed)
    assert "about each tensor" in refused.value.why


def test_what_an_attack_is_about_is_read_as_it_is_set():
    found = {name: getattr(attack, "unit", None) for name, attack in attacks.items()}
    assert found == {name: attacks.literal(name, "unit") for name in found} and "tensor" in found.values()


def test_a_name_is_a_name_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    (tmp_path / "research-tofu").write_text("no policy")
    monkeypatch.chdir(tmp_path)
    assert trusted_policy("research-tofu") == policies.get("research_tofu")
    with pytest.raises(LedgerError, match="not a policy file"):
        trusted_policy("./research-tofu")


@pytest.mark.parametrize("name", policies.names())
def test_a_criterion_states_the_access_of_its_attack_and_a_reason(name):
    for criterion in policies.get(name).criteria:
        stated_access = Access(0)
        for flag in criterion.access:
            stated_access |= Access[flag]
        assert stated_access == _access(criterion.attack), criterion.attack
        assert criterion.why


def _access(name):
    if name in attacks.names():
        return attacks.get(name).access
    found = metrics.get(name)
    if not isinstance(found, Statistic):
        return found.access
    access = Access(0)
    for _, _, score in found.needs:
        access |= metrics.get(score).access
    return access


def test_only_what_shipped_goes_by_the_name_of_what_ships():
    now = policies.get("research_tofu")
    assert [known.version for known in earlier("research-tofu")] == ["1", "2"]
    assert all(shipped(known) and not disputed(known) for known in (now, *earlier("research-tofu")))
    for other in (replace(now, utility_floor=0.6), replace(now, version="2", positive_control=1.0)):
        assert not shipped(other) and "not the research-tofu" in disputed(other)[0]
    assert disputed(MINE) == [] and not shipped(MINE)


def test_a_budget_is_pinned_where_it_is_not_the_common_one():
    one = MINE.criteria[0]
    assert not {"budget", "settings"} & plain(one).keys()
    full = replace(one, budget="full", settings="sha256:" + "0" * 64)
    assert digest(full) != digest(one) and stated(plain(replace(MINE, criteria=(full,))), "it").criteria == (full,)


def test_publishing_puts_all_in_place_or_leaves_what_was_there(tmp_path):
    place = PUBLISHED.parents[3] / "tools" / "sign_policies.py"
    spec = importlib.util.spec_from_file_location("sign_policies", place)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    old, new, folder = tmp_path / "old", tmp_path / "new", tmp_path / "folder"
    old.write_bytes(b"before")
    folder.mkdir()
    with pytest.raises((OSError, ValueError)):
        tool.replace_all({old: b"after", new: b"after", folder / "nowhere" / "\0": b"x"})
    assert old.read_bytes() == b"before" and not new.exists()
    tool.replace_all({old: b"after", new: b"after"})
    assert old.read_bytes() == new.read_bytes() == b"after"
