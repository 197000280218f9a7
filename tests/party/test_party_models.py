"""A party's parts of models: listed, shown as a card, exported as a signed bundle, and never with a row in it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from shared import unavailable
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner
from vertical import split_inputs, train, use_plain

from parley.cli import app
from parley.components.serving.bundle import Bundle
from parley.components.serving.card import ModelCard
from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party import models
from parley.party.home import PartyHome
from parley.party.runtime import agreement
from parley.party.store import JobRecord
from parley.wire import contract as ct
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec

COLUMNS = (["id", "y", "x0"], ["id", "x1", "x2"])
SPEC = JobSpec.model_validate(
    {
        "name": "credit",
        "purpose": "estimate the risk of default",
        "parties": {"bank": {"data": "loans"}, "bureau": {"data": "histories"}},
        "steps": {
            "train": {
                "uses": "gbdt/vertical",
                "roles": {"label": "bank", "features": "bureau"},
                "with": {"label": "y"},
            },
            "measure": {"uses": "evaluate", "roles": {"label": "bank"}, "needs": ["train"]},
        },
    }
)


def labelled(rows: int) -> pa.Table:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(rows, 3)).round(2)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=rows) > 0).astype(int)
    return pa.table({"id": np.arange(rows), "y": y, **{f"x{k}": x[:, k] for k in range(3)}})


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, PartyHome]:
    """Two homes as a job of one training leaves them: the contract in the store, the outputs in the vault."""
    use_plain(monkeypatch)
    made = {n: PartyHome.create(tmp_path / n, n) for n in SPEC.parties}
    key, seal = SigningKey.generate(), StaticKey.generate()
    offers = {
        n: agreement.make_offer(home, SPEC, ct.DatasetOffer(name=str(SPEC.parties[n].data), snapshot=7, rows=240,
                                                            columns=3, commitment="ab" * 32))
        for n, home in made.items()
    }  # fmt: skip
    contract = ct.Contract(
        job="j1",
        spec=SPEC.model_dump(mode="json", by_alias=True),
        submitter=Card.issue("person", "ada", key, seal.public).to_text(),
        submitter_signature=ct.sign_job(key, SPEC).hex(),
        offers=offers,
        seed=ct.seed_of(offers),
        expires=ct.expiry(60),
    )
    run = train(split_inputs(labelled(240), *COLUMNS), {"trees": 4, "bins": 8, "validation": 0.25})
    for name, home in made.items():
        home.store.put_job(JobRecord("j1", "closed", SPEC.canonical(), "", b"", contract=contract.canonical()))
        home.store.save_output("j1", "train", run[name].keep)
        home.store.save_output("j1", "measure", {})
    return made


def cli(home: PartyHome, *arguments: str) -> Any:
    ran = CliRunner().invoke(app, ["party", "model", *arguments, "--json", "--home", str(home.path)])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def code_of(call: Any, *arguments: Any, **more: Any) -> str:
    with pytest.raises(ParleyError) as e:
        call(*arguments, **more)
    return e.value.code


def test_a_model_is_listed_at_every_party_that_holds_a_part(homes: dict[str, PartyHome]) -> None:
    for name, role in (("bank", "label"), ("bureau", "features")):
        assert cli(homes[name], "list") == [
            {"job": "j1", "step": "train", "name": "credit", "protocol": "gbdt/vertical", "role": role}
        ]


def test_the_card_says_what_was_signed_and_what_this_party_measured(homes: dict[str, PartyHome]) -> None:
    kept = homes["bank"].store.load_output("j1", "train")
    assert kept is not None
    card = models.model_card(homes["bank"], "j1", "train")
    record = homes["bank"].store.get_job("j1")
    assert record is not None
    assert record.contract is not None
    contract = agreement.read_contract(record.contract)
    assert card.contract == contract.hash().hex()
    assert (card.purpose, card.submitter, card.parameters) == (SPEC.purpose, "ada", {"label": "y"})
    assert [(h.party, h.role, h.dataset, h.commitment) for h in card.holders] == [
        ("bank", "label", "loans", "ab" * 32),
        ("bureau", "features", "histories", "ab" * 32),
    ]
    held_out = kept["validation"].astype(bool)
    expected = roc_auc_score(kept["labels"][held_out], kept["scores"][held_out, 0])
    assert card.metrics["validation"]["auc"] == pytest.approx(expected)
    assert set(card.metrics) == {"training", "validation"}
    text = card.markdown()
    for part in ("# credit: train", "estimate the risk", contract.hash().hex(), "| bureau | features |", "| auc |"):
        assert part in text
    assert models.model_card(homes["bureau"], "j1", "train").metrics == {}
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_a_bundle_is_whole_signed_and_without_a_row(homes: dict[str, PartyHome], tmp_path: Path) -> None:
    if importlib.util.find_spec("onnx") is None:
        unavailable("onnx is not installed: pip install 'parley[export]'")
    for name, home in homes.items():
        folder = tmp_path / f"bundle-{name}"
        told = cli(home, "export", "j1", "train", str(folder), "--pmml", "--onnx")
        assert told["files"] == ["card.json", "card.md", "part.json", "part.onnx", "part.pmml"]
        bundle, signer = models.verify(folder)
        assert (bundle.content, signer.fingerprint) == (told["content"], home.card.fingerprint)
        assert {p.stat().st_mode & 0o077 for p in folder.iterdir()} == {0}
        kept = home.store.load_output("j1", "train")
        assert kept is not None
        assert bundle.part == models.part_of(kept)
        numbers = set(_numbers(json.loads(bundle.files["part.json"])))
        assert not numbers & {float(r) for r in kept["rows"] if r > 1000}  # small ones are numbers of bins, too
        if "scores" in kept:
            assert not numbers & set(kept["scores"][:, 0].tolist())
    ran = CliRunner().invoke(app, ["party", "model", "verify", str(tmp_path / "bundle-bank"), "--json"])
    assert json.loads(ran.stdout)["code"] == homes["bank"].card.short_code


def _numbers(node: Any) -> list[float]:
    if isinstance(node, dict):
        return [v for child in node.values() for v in _numbers(child)]
    if isinstance(node, list):
        return [v for child in node for v in _numbers(child)]
    return [float(node)] if isinstance(node, int | float) else []


def test_the_same_model_is_the_same_content(homes: dict[str, PartyHome], tmp_path: Path) -> None:
    first = models.export(homes["bank"], "j1", "train", tmp_path / "a")
    second = models.export(homes["bank"], "j1", "train", tmp_path / "b")
    assert first.content == second.content
    assert code_of(models.export, homes["bank"], "j1", "train", tmp_path / "a") == "folder_not_empty"


@pytest.mark.parametrize("name", ["part.json", "card.md", "card.json", "manifest.json"])
def test_a_changed_file_is_refused(homes: dict[str, PartyHome], tmp_path: Path, name: str) -> None:
    models.export(homes["bank"], "j1", "train", tmp_path / "a")
    file = tmp_path / "a" / name
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    assert code_of(models.verify, tmp_path / "a") == "bundle_damaged"


def test_missing_added_linked_and_unsigned_files_are_refused(homes: dict[str, PartyHome], tmp_path: Path) -> None:
    for n, (change, code) in enumerate(
        (
            (lambda f: (f / "part.json").unlink(), "bundle_damaged"),
            (lambda f: (f / "more.txt").write_text("x"), "bundle_damaged"),
            (lambda f: (f / "signature.json").unlink(), "not_signed"),
            (lambda f: (f / "signature.json").write_text("{}"), "not_signed"),
            (lambda f: (f / "manifest.json").unlink(), "no_bundle"),
            (_linked, "bundle_damaged"),
        )
    ):
        folder = tmp_path / f"x{n}"
        models.export(homes["bank"], "j1", "train", folder)
        change(folder)
        assert code_of(models.verify, folder) == code, n


def _linked(folder: Path) -> None:
    (folder / "part.json").rename(folder.parent / "elsewhere.json")
    (folder / "part.json").symlink_to(folder.parent / "elsewhere.json")


def test_a_bundle_signed_by_somebody_else_is_refused(homes: dict[str, PartyHome], tmp_path: Path) -> None:
    """Whoever replaces a file, its hash and the signature still has another card than the model card names."""
    models.export(homes["bank"], "j1", "train", tmp_path / "a")
    bundle = Bundle.read(tmp_path / "a")
    thief = homes["bureau"]
    forged = Bundle({**bundle.files, "card.md": b"# a better model"})
    signature = thief.sign_key.sign(forged.manifest, models.BUNDLE).hex()
    forged.write(tmp_path / "b", json.dumps({"card": thief.card.to_text(), "signature": signature}).encode())
    assert code_of(models.verify, tmp_path / "b") == "bad_signature"
    own = (tmp_path / "a" / "signature.json").read_bytes()
    forged.write(tmp_path / "c", own)
    assert code_of(models.verify, tmp_path / "c") == "bad_signature"


def test_what_is_no_model_is_told(homes: dict[str, PartyHome]) -> None:
    with pytest.raises(ParleyError) as e:
        models.model_card(homes["bank"], "j2", "train")
    assert e.value.code == "unknown_model"
    assert "j1 train" in e.value.hint
    assert code_of(models.model_card, homes["bank"], "j1", "measure") == "no_model"
    assert models.models(homes["bank"])[0].step == "train"


def test_trees_are_no_scorecard(homes: dict[str, PartyHome]) -> None:
    arguments = ["party", "model", "scorecard", "j1", "train", "--home", str(homes["bank"].path)]
    ran = CliRunner().invoke(app, arguments)
    assert isinstance(ran.exception, ParleyError)
    assert ran.exception.code == "no_scorecard"


def test_hostile_words_do_not_become_markup() -> None:
    card = ModelCard("a", "j", "s", "x\n# y", "<script>", "p", "c", "h", "ada | b", "v", "k", {"a|b": "c\n| d"}, ())
    text = card.markdown()
    assert "<script>" not in text
    assert "\n# y" not in text
    assert "a\\|b" in text
