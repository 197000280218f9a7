"""Home, datasets, store and doctor on real files."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parley.party.doctor import checks
from parley.party.doctor_machine import processor, volume
from parley.party.enrol import accept_authority
from parley.party.home import PartyHome
from parley.party.policy import approve, deny, waiting
from parley.party.store import JobRecord, StepRecord
from parley.wire.errors import ParleyError
from parley.wire.invite import Invite
from parley.wire.tls import new_authority, pin


@pytest.fixture
def home(tmp_path: Path) -> Iterator[PartyHome]:
    made = PartyHome.create(tmp_path / "home", "bank")
    yield made
    made.close()


def _code(call: object, *args: object, **named: object) -> str:
    assert callable(call)
    with pytest.raises(ParleyError) as caught:
        call(*args, **named)
    return caught.value.code


def _csv(path: Path, rows: int, offset: int = 0) -> Path:
    lines = [f"{i:05d},{i + offset}" for i in range(rows)]
    path.write_text("id,amount\n" + "\n".join(lines) + "\n")
    return path


def test_a_home_is_private_and_comes_back_the_same(home: PartyHome) -> None:
    again = PartyHome.open(home.path)
    assert again.card.fingerprint == home.card.fingerprint
    assert again.seal_key.public == home.seal_key.public
    for path in [home.path, *home.path.iterdir(), *(home.path / "vault").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path.name
    secret = home.sign_key.to_bytes()
    assert all(secret not in p.read_bytes() for p in home.path.rglob("*") if p.is_file())
    again.config.capacity = 3
    again.save_config()
    assert PartyHome.open(home.path).config.capacity == 3


def test_what_is_not_a_home_is_refused(home: PartyHome, tmp_path: Path) -> None:
    assert _code(PartyHome.open, tmp_path / "nothing") == "no_home"
    assert _code(PartyHome.create, home.path, "bank") == "home_exists"
    assert _code(PartyHome.create, tmp_path / "x", "Not A Name") == "bad_name"
    assert _code(home.tls) == "not_joined"
    (home.path / "config.json").write_text(json.dumps({"name": "bank", "capacty": 3}))
    with pytest.raises(ParleyError) as caught:
        PartyHome.open(home.path)
    assert caught.value.hint == "Did you mean capacity?"
    home.path.chmod(0o755)
    assert _code(PartyHome.open, home.path) == "unsafe_permissions"


def test_an_offer_holds_its_snapshot_until_release(home: PartyHome, tmp_path: Path) -> None:
    home.datasets.add("loans", _csv(tmp_path / "a.csv", 1234), strings=["id"])
    offer = home.datasets.offer("loans", "j1")
    assert (offer.name, offer.rows, offer.columns) == ("loans", 1300, 2)
    home.datasets.add("loans", _csv(tmp_path / "b.csv", 1234, offset=1), strings=["id"], replace=True)
    assert home.datasets.offer("loans", "j1") == offer
    assert home.datasets.read("loans", "j1")["amount"].to_pylist() == list(range(1234))
    assert home.datasets.schema("loans", "j1") == {"id": "string", "amount": "int64"}
    other = home.datasets.offer("loans", "j2")
    assert home.datasets.schema("loans", "j2") == {"id": "string", "amount": "int64"}
    assert other.commitment != offer.commitment
    assert other.snapshot != offer.snapshot
    assert home.datasets.read("loans", "j2", ["amount"]).column_names == ["_row", "amount"]
    home.datasets.release("j1")
    home.datasets.release("j1")
    assert _code(home.datasets.read, "loans", "j1") == "unknown_tag"
    assert home.datasets.read("loans", "j2").num_rows == 1234


def test_commitments_are_keyed_by_party(home: PartyHome, tmp_path: Path) -> None:
    other = PartyHome.create(tmp_path / "other", "telco")
    source = _csv(tmp_path / "a.csv", 10)
    digests = []
    for one in (home, other):
        one.datasets.add("loans", source)
        digests.append(one.datasets.offer("loans", "j").commitment)
    other.close()
    assert digests[0] != digests[1]


def test_a_union_has_the_rows_of_all_and_row_ids_of_its_own(home: PartyHome, tmp_path: Path) -> None:
    home.datasets.add("may", _csv(tmp_path / "a.csv", 3), strings=["id"])
    home.datasets.add("june", _csv(tmp_path / "b.csv", 2, offset=10), strings=["id"])
    assert home.datasets.union("both", ["june", "may", "june"]).rows == 7
    home.datasets.offer("both", "j")
    both, june = home.datasets.read("both", "j"), (home.datasets.offer("june", "j"), home.datasets.read("june", "j"))[1]
    assert both["_row"].to_pylist() == list(range(7))
    assert both["amount"].to_pylist() == [*june["amount"].to_pylist(), 0, 1, 2, *june["amount"].to_pylist()]
    other = tmp_path / "other.csv"
    other.write_text("id,amount,more\nu1,1,2\n", encoding="utf-8")
    home.datasets.add("other", other, strings=["id"])
    assert _code(home.datasets.union, "all", ["may", "other"]) == "schema_mismatch"
    assert _code(home.datasets.union, "all", ["may", "july"]) == "unknown_dataset"
    assert _code(home.datasets.union, "both", ["may", "june"]) == "dataset_exists"
    assert _code(home.datasets.union, "All", ["may", "june"]) == "bad_dataset_name"


def test_unknown_datasets_and_columns_get_hints(home: PartyHome, tmp_path: Path) -> None:
    home.datasets.add("loans", _csv(tmp_path / "a.csv", 3))
    with pytest.raises(ParleyError) as caught:
        home.datasets.offer("loan", "j")
    assert (caught.value.code, caught.value.hint) == ("unknown_dataset", "Did you mean loans?")
    home.datasets.offer("loans", "j")
    assert _code(home.datasets.read, "loans", "j", ["amuont"]) == "unknown_column"
    assert _code(home.datasets.add, "loans", tmp_path / "a.csv") == "dataset_exists"
    assert _code(home.datasets.add, "x", tmp_path / "none.csv") == "no_such_file"
    assert _code(home.datasets.add, "X y", tmp_path / "a.csv") == "bad_dataset_name"


def test_a_transaction_is_kept_whole_or_not_at_all(home: PartyHome) -> None:
    job = JobRecord("j1", "offered", b"{}", "card", b"sig")

    def interrupted() -> None:
        with home.store.transaction():
            home.store.put_job(job)
            home.store.add_event("e1", b"x")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert home.store.get_job("j1") is None
    assert home.store.pending_events() == []
    with home.store.transaction():
        home.store.put_job(job)
        home.store.add_event("e1", b"x")
    assert home.store.get_job("j1") == job
    assert home.store.pending_events() == [("e1", b"x")]


def test_events_instructions_and_fences(home: PartyHome) -> None:
    store = home.store
    for name in ("e2", "e1", "e2"):
        store.add_event(name, name.encode())
    assert [e for e, _ in store.pending_events()] == ["e2", "e1"]
    store.ack("e2")
    store.ack("unknown")
    store.add_event("e2", b"again")
    assert [e for e, _ in store.pending_events()] == ["e1"]
    assert not store.seen("i1")
    assert store.seen("i1")
    assert store.fence("j", "s") == 0
    store.put_step(StepRecord("j", "s", 1, 7, "running"))
    store.put_step(StepRecord("j", "s", 1, 7, "done"))
    store.put_step(StepRecord("j", "s", 2, 5, "running"))
    assert store.fence("j", "s") == 7
    assert [s.state for s in store.steps("j")] == ["done", "running"]


def test_checkpoints_and_outputs_lie_in_the_vault(home: PartyHome) -> None:
    store = home.store
    store.save_checkpoint("j", "s", 1, b"one of a kind")
    store.save_checkpoint("j", "s", 2, b"two")
    store.save_output("j", "s", {"scores": np.arange(3.0), "n": 3})
    assert store.load_checkpoint("j", "s", 1) == b"one of a kind"
    assert store.load_checkpoint("j", "s", 3) is None
    assert store.boundaries("j", "s") == [1, 2]
    assert b"one of a kind" not in (home.path / "party.db").read_bytes()
    store.forget_checkpoints("j")
    assert store.load_checkpoint("j", "s", 1) is None
    assert home.vault.names("checkpoint/") == []
    output = store.load_output("j", "s")
    assert output is not None
    assert output["n"] == 3
    assert output["scores"].tolist() == [0.0, 1.0, 2.0]
    assert store.load_output("j", "t") is None


def test_manual_approval(home: PartyHome) -> None:
    assert home.store.approval("j") is None
    assert _code(home.store.decide, "j", True) == "unknown_approval"
    assert home.store.request_approval("j") == "pending"
    assert home.store.pending_approvals() == ["j"]
    assert waiting(home) == ["j"]
    approve(home, "j")
    assert home.store.request_approval("j") == "approved"
    assert _code(approve, home, "j") == "unknown_approval"
    assert _code(deny, home, "other") == "unknown_approval"
    home.store.request_approval("k")
    deny(home, "k")
    assert home.store.approval("k") == "denied"
    assert home.store.pending_approvals() == []


def test_the_invite_is_read_strictly() -> None:
    body = {"rest": "https://h:1", "grpc": "h:2", "ca": "0" * 64, "token": "t" * 20, "name": "bank"}
    raw = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    invite = Invite.from_text(f"  parley-invite:{raw}\n")
    assert (invite.rest, invite.name) == ("https://h:1", "bank")
    assert "t" * 20 not in repr(invite)
    plain = base64.urlsafe_b64encode(json.dumps({**body, "rest": "http://h:1"}).encode()).decode()
    for text in (raw, "parley-invite:", "parley-invite:!!", f"parley-invite:{plain}"):
        assert _code(Invite.from_text, text) == "bad_invite"


def test_only_the_pinned_authority_is_taken() -> None:
    right, wrong = new_authority("a").certificate, new_authority("b").certificate
    assert _code(accept_authority, wrong, pin(right)) == "wrong_authority"
    assert _code(accept_authority, b"", pin(right)) == "wrong_authority"
    taken = accept_authority(right + wrong, pin(right))
    assert len(ssl.create_default_context(cadata=taken.decode()).get_ca_certs()) == 1
    # Whoever keeps the bytes as they came trusts the second authority too, though the pin fits the first.
    assert pin(right + wrong) == pin(right)
    assert len(ssl.create_default_context(cadata=(right + wrong).decode()).get_ca_certs()) == 2


def test_the_doctor_names_what_is_wrong(home: PartyHome) -> None:
    found = {c.name: c for c in checks(home)}
    for name in ("permissions", "policy", "ledger", "versions", "listen"):
        assert found[name].ok, found[name]
    assert not found["coordinator"].ok
    (home.path / "party.db").chmod(0o644)
    (home.path / "policy.yaml").write_text("version: 1\n")
    found = {c.name: c for c in checks(home)}
    assert not found["permissions"].ok
    assert "party.db" in found["permissions"].detail
    assert not found["policy"].ok


def test_the_doctor_reads_machines(tmp_path: Path) -> None:
    assert "aes" in processor("flags\t: fpu avx2\n", "x86_64").detail
    assert processor("flags\t: fpu aes avx2 pclmulqdq\n", "x86_64").hint == ""
    (tmp_path / "dm-0" / "dm").mkdir(parents=True)
    (tmp_path / "dm-0" / "dm" / "uuid").write_text("CRYPT-LUKS2-abc\n")
    mounts = "/dev/sda1 / ext4\n/dev/dm-0 /data ext4\n"
    assert "encrypted" in volume(Path("/data/home"), mounts, tmp_path).detail
    assert volume(Path("/database"), mounts, tmp_path).detail == "no volume encryption seen"
