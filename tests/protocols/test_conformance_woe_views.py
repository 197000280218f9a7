"""Binning by evidence against simulated views at both roles: all but ciphertexts to the byte, ciphertexts by learners.

The ciphertexts are the product's under one real Paillier key: a features party gets encrypted labels, the label party
the packed counts of events. What a simulator puts in their place is an encryption of nothing, and one of the counts
that may be learnt, made by integers in a way of its own. The label of each row is given to the learner.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pytest
from cases import CASES, columns
from classifiers import told_apart
from manyruns import one_run
from simulators import stats_woe as sim
from simulators.envelopes import seen
from simulators.gbdt_vertical import Nonces, packed
from vertical import use_plain

from parley.crypto import ahe
from parley.crypto.ahe.base import Response
from parley.crypto.ahe.paillier import PaillierPublicKey
from parley.protocols import scheme
from parley.protocols.kit import Cast, StepInputs
from parley.protocols.stats import woe as w
from parley.protocols.stats.binned import binned
from parley.protocols.stats.woe_jobs import WOE

# Fewer pairs of answers, which take long to randomise, at a bar as many standard deviations from chance.
PAIRS, BAR = {"labels": 4_000, "answers": 1_200}, {"labels": 0.545, "answers": 0.582}
FEW = 400
ROWS = 8
CAST = Cast({"label": "l", "features": ["f"]})
PARAMS = WOE.validate({"label": "y", "scheme": "paillier", "bins": 4, "min_bin_rows": 2}, CAST)


@pytest.mark.parametrize("name", ["stats/woe", "stats/woe by rows"])
@pytest.mark.parametrize("seed", range(4))
def test_all_but_ciphertexts_follows_from_what_may_be_learnt(name, seed, monkeypatch):
    use_plain(monkeypatch)
    from cases import COLUMNS, table
    from vertical import split_inputs

    given = split_inputs(table(40, seed), *COLUMNS[: 3 if name == "stats/woe" else 2])
    run = CASES[name].run(inputs=given)
    params = WOE.validate(CASES[name].params, Cast(CASES[name].cast))
    for party in (p for p in given if p != "bank"):
        frame = _training(given[party], params, party)
        found = [f for f in run["bank"].result["binning"] if f["party"] == party]
        events = w.Events.decode(_body(run, w.Events, party, "bank"), {})
        names = [f["feature"] for f in found] if params.share_names else None
        made = sim.label_is_sent(frame.counts, frame.ordered, np.concatenate(frame.rows), names, events.sums)
        assert seen(run.transcript, party, "bank") == made.rows
        key = w.Key.decode(_body(run, w.Key, "bank", party), {})
        zeros = np.zeros_like(w.Labels.decode(_body(run, w.Labels, "bank", party), {}).ciphertexts)
        merged = weights = None
        if params.merges:
            merged, weights = _learnt(frame, found)
        made = sim.features_is_sent(key, zeros, merged, weights)
        assert _without(seen(run.transcript, "bank", party)) == _without(made.rows)


def _without(rows):
    return [(place, len(b) if place[0] == w.Labels.TAG and not place[3] else b) for place, b in rows]


def _body(run, kind, sender, receiver):
    mine = (e for e in run.transcript if (e.address.tag, e.address.sender) == (kind.TAG, sender))
    return next(e.body for e in mine if e.address.receiver == receiver)


def _training(inputs: StepInputs, params, party: str):
    from parley.protocols.frame import frame_of

    table = frame_of(inputs, party).table
    return binned(table, [c for c in table.column_names if c not in ("id", "_row")], params, party)


def _learnt(frame, found):
    """`merged_bins` and `bin_woe` of each feature, from the merged bins' sizes and weights."""
    merged, weights = [], []
    for rows, feature in zip(frame.rows, found, strict=True):
        ends = np.cumsum([b["rows"] for b in feature["bins"]])
        group = np.searchsorted(ends, np.cumsum(rows[:-1]), side="left")
        merged.append(np.append(group, group.max() + 1))
        weights.append(np.append(np.array([b["woe"] for b in feature["bins"]])[group], 0.0))
    return merged, weights


# ---------------------------------------------------------------- ciphertexts


class World:
    """One key, a label party's rows and a features party's columns, and runs of the product's roles between them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(6)
        self.key = ahe.generate("paillier", 2048)
        self.n, self.nonces = self.key.public.n, Nonces(self.key.public.n, rng)
        self.public = PaillierPublicKey.decode(self.key.public.encode())
        table = pa.table({f"x{k}": rng.normal(size=ROWS) for k in range(2)})
        self.mine = binned(table, table.column_names, PARAMS, "f")
        self.none = binned(table, [], PARAMS, "l")
        self.y = np.array([0, 1, 1, 0, 1, 0, 0, 0])
        self.sums = np.concatenate(
            [np.bincount(self.mine.bins[:, k], self.y, r.size) for k, r in enumerate(self.mine.rows)]
        ).astype(np.int64)
        self.encrypted = self.key.encrypt(self.y[:, None].astype(np.int64), PARAMS.layout(ROWS))

    def labels(self, count: int, monkeypatch) -> list[tuple[np.ndarray, int]]:
        """(ciphertext, label) of whole runs."""
        monkeypatch.setattr(scheme, "generate", lambda terms: self.key)
        monkeypatch.setattr(scheme, "decode_public", lambda raw, terms: self.public)
        roles = {"l": lambda s: w.label(s, self.none, self.y), "f": lambda s: w.features(s, self.mine)}
        out: list[tuple[np.ndarray, int]] = []
        while len(out) < count:
            _, transcript = asyncio.run(one_run(CAST, PARAMS, roles, {}))
            sent = [w.Labels.decode(e.body, {}) for e in transcript if e.address.tag == w.Labels.TAG and not e.last]
            out += zip(np.concatenate([m.ciphertexts for m in sent]), self.y, strict=True)
        return out[:count]

    def answers(self, count: int, monkeypatch) -> list[np.ndarray]:
        """The answer to the same encrypted labels, by a features party that is asked time and again."""
        monkeypatch.setattr(scheme, "decode_public", lambda raw, terms: self.public)

        async def asks(s):
            await s.recv("f", w.Shape)
            await s.send("f", w.Key(b"", ROWS, 0))
            out = s.stream("f", w.Labels)
            await out.put(w.Labels(self.encrypted))
            await out.close()
            return [m async for m in s.stream("f", w.Events)]

        async def many():
            roles = {"l": asks, "f": lambda s: w.features(s, self.mine)}
            return [(await one_run(CAST, PARAMS, roles, {}))[0]["l"][0].sums[0] for _ in range(count)]

        return asyncio.run(many())


def cut(raw: np.ndarray, extra: int = 0) -> dict[str, np.ndarray]:
    return {
        "low": raw[:64].reshape(1, 64),
        "high": raw[-64:].reshape(1, 64),
        "all": raw.reshape(-1, 64),
        "told": np.array([extra]),
    }


def made(world: World, m: int, extra: int = 0) -> dict[str, np.ndarray]:
    return cut(np.frombuffer(world.nonces.ciphertext(m), dtype=np.uint8), extra)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def labels(world: World, count: int, monkeypatch) -> tuple[list, list]:
    real = world.labels(count, monkeypatch)
    return [cut(raw, y) for raw, y in real], [made(world, 0, y) for _, y in real]


def answers(world: World, count: int, monkeypatch) -> tuple[list, list]:
    plaintext = packed(world.sums, PARAMS.layout(ROWS).slot, world.n)
    real = world.answers(count, monkeypatch)
    return [cut(raw) for raw in real], [made(world, plaintext) for _ in real]


def test_an_answer_holds_the_counts_that_may_be_learnt(world, monkeypatch):
    """Both the real and the simulated one, so that comparing them means something."""
    layout = PARAMS.layout(ROWS)
    both = [
        world.answers(1, monkeypatch)[0],
        np.frombuffer(world.nonces.ciphertext(packed(world.sums, layout.slot, world.n)), np.uint8),
    ]
    for raw in both:
        response = world.key.response(raw.reshape(1, -1).copy(), world.sums.size, layout)
        np.testing.assert_array_equal(world.key.decrypt(response, layout)[:, 0], world.sums)


@pytest.mark.slow
@pytest.mark.paillier
@pytest.mark.timeout(600)
@pytest.mark.parametrize("views", [labels, answers])
def test_nobody_tells_real_ciphertexts_from_simulated_ones(world, views, monkeypatch):
    name = views.__name__
    found = told_apart(*views(world, PAIRS[name], monkeypatch))
    print(found)
    assert max(found.values()) < BAR[name]


@pytest.mark.slow
@pytest.mark.paillier
def test_a_label_without_a_nonce_is_found(world, monkeypatch):
    """Planted: (1 + n) to the label, as it is."""
    real, simulated = labels(world, FEW, monkeypatch)
    bare = [(1 + int(v["told"][0]) * world.n).to_bytes(512, "little") for v in real]
    planted = [cut(np.frombuffer(b, np.uint8), int(v["told"][0])) for b, v in zip(bare, real, strict=True)]
    assert max(told_apart(planted, simulated).values()) > 0.7
    assert max(told_apart(real, simulated).values()) < 0.625


@pytest.mark.slow
@pytest.mark.paillier
def test_an_answer_that_is_not_re_randomised_is_found(world, monkeypatch):
    """Planted: the packed sums leave as they are, a product of what the label party itself encrypted."""

    def release(self, sums, layout):
        joined = self.field.join(sums.inner, layout.per_plaintext(self.bits - 1), layout.width, 1)
        raw = self.field.leave(joined, 1).view(np.uint8).reshape(len(joined), self.size)
        return Response(raw, len(sums))

    monkeypatch.setattr(PaillierPublicKey, "release", release)
    assert max(told_apart(*answers(world, FEW, monkeypatch)).values()) > 0.7


def test_the_columns_of_the_cases_have_more_than_one_bin():
    """What is compared above is not empty."""
    assert columns()["bureau"].table.num_columns == 4
