"""Weight of evidence against simulated views at both roles: all but ciphertexts to the byte, those by learners.

Ciphertexts are real Paillier-2048 under one key made for the test: single labels against encryptions of nothing, and
answers against the sums that are learnt, encrypted in a way of the simulator's own. What the lattice's say is measured
beside it (`tests/crypto/test_lattice_privacy.py`). 4,000 pairs at 0.545 and 1,000 at 0.59 are as far from
chance as 20,000 at 0.52.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pytest
from classifiers import told_apart
from manyruns import accepted_in_one_run, one_run
from simulators import stats_woe as sim
from simulators.gbdt_vertical import Nonces, packed
from vertical import use_plain

from parley.crypto import ahe
from parley.crypto.ahe.base import Response
from parley.crypto.ahe.paillier import PaillierPublicKey
from parley.protocols import scheme
from parley.protocols.kit import Cast
from parley.protocols.stats import woe
from parley.protocols.stats import woe_messages as m
from parley.protocols.stats.woe_data import binned

LABELS, HIGHER = 4_000, 0.545
ANSWERS, HIGHEST, FEW = 1_000, 0.59, 300
CAST = Cast({"label": "l", "features": ["f"]})
GIVEN = {"label": "y", "bins": 2, "min_bin_rows": 5, "min_class_rows": 1, "scheme": "paillier", "share_names": True}
PARAMS = woe.WOE.validate(GIVEN, CAST)


def sides(y: np.ndarray, x: np.ndarray):
    """Both roles over these rows, and the features party's bins."""
    table = pa.table({"x": x})
    own, theirs = binned(PARAMS, "l", table, []), binned(PARAMS, "f", table, ["x"])
    return {"l": lambda s: woe.label(s, own, y[:, None]), "f": lambda s: woe.features(s, theirs)}, theirs


def drawn(rows: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, rows), np.arange(rows, dtype=np.float64)


def test_all_but_ciphertexts_follows_from_what_is_learnt(monkeypatch):
    """With the plain fake, whose answers are the sums themselves, so that those too are compared to the byte."""
    use_plain(monkeypatch)
    y, x = drawn(40)
    roles, theirs = sides(y, x)
    accepted = asyncio.run(accepted_in_one_run(CAST, PARAMS, roles, {}))
    done, _ = asyncio.run(one_run(CAST, PARAMS, roles, {}))
    columns, _ = done["l"]
    counted = sim.Counted(theirs.n_bins.tolist(), theirs.categorical.tolist(), theirs.rows.tolist(), theirs.names)
    events = columns[0].found.events[:, 0].astype(np.int64)
    made = sim.label_is_sent(counted, events.view(np.uint8).reshape(-1, 8))
    assert [a.encode() for a in accepted["l"]] == [b.encode() for b in made]
    told = sim.told_of(columns, "f")
    made = sim.features_is_sent(40, 0, told, accepted["f"][0].public, lambda n: np.zeros((n, 8), np.uint8))
    apart = [[x.encode() for x in side if not isinstance(x, m.Labels)] for side in (accepted["f"], made)]
    assert apart[0] == apart[1]


# ---------------------------------------------------------------- ciphertexts


class World:
    def __init__(self) -> None:
        self.key = ahe.generate("paillier", 2048)
        self.public = PaillierPublicKey.decode(self.key.public.encode())
        self.n = self.key.public.n
        self.nonces = Nonces(self.n, np.random.default_rng(8))
        self.y, x = drawn(12)
        self.roles, self.theirs = sides(self.y, x)
        self.sums = np.array([[self.y[:6].sum()], [self.y[6:].sum()], [0]])

    def ciphertext(self, plaintext: int) -> np.ndarray:
        return np.frombuffer(self.nonces.ciphertext(plaintext), np.uint8)

    def answers(self, count: int, patch: pytest.MonkeyPatch) -> list[np.ndarray]:
        """Of whole runs; the label party's own ciphertexts, which it made itself, are the same in all of them."""
        patch.setattr(scheme, "generate", lambda terms: self.key)
        patch.setattr(scheme, "decode_public", lambda raw, terms: self.public)
        patch.setattr(self.key, "close", lambda: None)
        own = self.key.encrypt(self.y[:, None], PARAMS.layout(12))
        patch.setattr(self.key, "encrypt", lambda values, layout: own)
        found = []

        async def many() -> None:
            for _ in range(count):
                _, transcript = await one_run(CAST, PARAMS, self.roles, {})
                found.extend(
                    m.Sums.decode(e.body, {}).sums for e in transcript if e.address.tag == m.Sums.TAG and not e.last
                )

        asyncio.run(many())
        return [raw[0] for raw in found]

    def simulated_answer(self) -> np.ndarray:
        return self.ciphertext(packed(self.sums, PARAMS.layout(12).slot, self.n))


def cut(raw: np.ndarray, label: int = 0) -> dict[str, np.ndarray]:
    """The lowest and highest 64 bytes bit by bit, all of it by columns of 64, and what a judge knows."""
    ends = {"low": raw[:64].reshape(1, 64), "high": raw[-64:].reshape(1, 64)}
    return {**ends, "all": raw.reshape(-1, 64), "label": np.array([label])}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def judged(real, simulated) -> float:
    return max(told_apart(real, simulated).values())


def labels(world: World, count: int):
    y = drawn(count, 6)[0]
    raw = world.key.encrypt(y[:, None], PARAMS.layout(count))
    return [cut(r, v) for r, v in zip(raw, y, strict=True)], [cut(world.ciphertext(0), v) for v in y]


@pytest.mark.slow
@pytest.mark.paillier
@pytest.mark.timeout(600)
def test_no_features_party_tells_labels_from_encryptions_of_nothing(world):
    assert judged(*labels(world, LABELS)) < HIGHER


@pytest.mark.slow
@pytest.mark.paillier
@pytest.mark.timeout(600)
def test_no_label_party_tells_answers_from_what_it_may_learn(world, monkeypatch):
    real = [cut(raw) for raw in world.answers(ANSWERS, monkeypatch)]
    assert judged(real, [cut(world.simulated_answer()) for _ in real]) < HIGHEST


@pytest.mark.slow
@pytest.mark.paillier
@pytest.mark.timeout(600)
def test_a_label_in_a_ciphertext_is_found(world):
    """Planted: the lowest bit of a byte is the row's label."""
    real, simulated = labels(world, FEW)
    for view in real:
        view["low"] = view["low"].copy()
        view["low"][0, 3] = view["label"][0]
    assert judged(real, simulated) > 0.7


@pytest.mark.slow
@pytest.mark.paillier
@pytest.mark.timeout(600)
def test_an_answer_that_is_not_re_randomised_is_found(world, monkeypatch):
    """Planted: the packed sums leave as they are."""

    def release(self, sums, layout):
        joined = self.field.join(sums.inner, layout.per_plaintext(self.bits - 1), layout.width, 1)
        return Response(self.field.leave(joined, 1).view(np.uint8).reshape(len(joined), self.size), len(sums))

    monkeypatch.setattr(PaillierPublicKey, "release", release)
    real = [cut(raw) for raw in world.answers(FEW, monkeypatch)]
    assert judged(real, [cut(world.simulated_answer()) for _ in real]) > 0.7
