"""One step of a linear model of three parties: what each is sent, against what a simulator makes of what it learns."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import pytest
from classifiers import told_apart
from manyruns import one_run
from seeded import Seeded
from simulators import linear_vertical as sim

from parley.crypto.ahe import inner
from parley.protocols.kit import Cast, array
from parley.protocols.kit.conformance import received
from parley.protocols.linear import vertical
from parley.protocols.linear.jobs import VERTICAL
from parley.protocols.linear.messages import Answer, Key, Opened, Share, Vectors

PAIRS, BAR, FEW = 4000, 0.545, 200
ROWS, SHORT = 32, 64
CAST, TWO = Cast({"label": "l", "features": ["f", "g"]}), Cast({"label": "l", "features": ["f"]})
PARAMS = VERTICAL.validate(
    {"label": "y", "model": "linear", "epochs": 1, "optimizer": "sgd", "learning_rate": 1, "frequencies": 8}, CAST
)
FIXED = PARAMS.fixed(ROWS, 0)
_made = np.random.default_rng(4)
COLUMNS = {p: FIXED.columns(_made.normal(size=(ROWS, 2 if p == "l" else 1))) for p in "lfg"}
START = {p: _made.normal(size=(1, COLUMNS[p].shape[1])) for p in "lfg"}
MASKS: dict[bytes, np.ndarray] = {}  # each party's, of the last run
LABELS = _made.normal(size=(ROWS, 1))
OWN = {p: FIXED.scores(COLUMNS[p], START[p][0]).view(np.uint64) for p in "lfg"}
# Words of shares each is sent, in order, and which of them its own product uses; columns it opens for others.
SHARES = {"l": (("f", "g"), ("g", "f"), ("g", "l")), "f": (("g", "f"), ("g", "l")), "g": (("f", "g"),)}
OPENS = {"l": {"f": 1, "g": 1}, "f": {"l": 3}, "g": {}}


def part_of(p: str) -> vertical.Part:
    nobody = np.empty(0, dtype=np.int64)
    return vertical.Part(COLUMNS[p], np.arange(ROWS), nobody, START[p], np.zeros(COLUMNS[p].shape[1], bool))


ROLES = {
    "l": lambda s: vertical.label(s, part_of("l"), LABELS),
    "f": lambda s: vertical.features(s, part_of("f")),
    "g": lambda s: vertical.features(s, part_of("g")),
}


@pytest.fixture(autouse=True)
def dealt(monkeypatch):
    """Tickets in place of ciphertexts, and short ones."""
    monkeypatch.setattr(inner, "POLYNOMIAL", SHORT)
    monkeypatch.setitem(Vectors.FIELDS, "ciphertexts", array("n", SHORT, dtype="uint8"))
    monkeypatch.setitem(Key.FIELDS, "public", array(inner.SEED + SHORT, dtype="uint8"))
    monkeypatch.setattr(inner, "InnerSecretKey", sim.DealtKey)
    monkeypatch.setattr(inner, "InnerSums", sim.DealtSums)
    read = vertical._read

    def noted(owner, opened, masks):
        MASKS[owner._columns.tobytes()] = masks
        return read(owner, opened, masks)

    monkeypatch.setattr(vertical, "_read", noted)


def real(pairs: int, parties: str = "lfg") -> tuple[dict[str, list], dict[str, np.ndarray]]:
    """Views of each party in so many runs, and everybody's gradient as whole numbers, which is the same in all."""
    views: dict[str, list] = {p: [] for p in parties}
    cast = CAST if parties == "lfg" else TWO
    gradients: dict[str, np.ndarray] = {}

    async def many() -> None:
        for k in range(pairs):
            rngs = {p: Seeded("linear", k, p) for p in parties}
            outputs, transcript = await one_run(cast, PARAMS, {p: ROLES[p] for p in parties}, rngs)
            for p in parties:
                views[p].append(seen(p, transcript, MASKS[COLUMNS[p].tobytes()]))
                moved = (START[p] - outputs[p].weights)[0] * ROWS * 2.0 ** (16 + FIXED.score_bits)
                gradients.setdefault(p, np.rint(moved).astype(np.int64))

    asyncio.run(many())
    return views, gradients


def seen(p: str, transcript, masks: np.ndarray):
    got = received(transcript, p)
    of = lambda kind: [(e.address.sender, kind.decode(e.body, {})) for e in got if e.address.tag == kind.TAG]  # noqa: E731 - three uses
    shares = np.concatenate([*(m.words for _, m in of(Share)), np.empty(0, np.uint64)])
    answers = [sim.masked_sums(m.sums, OPENS[p][sender]) for sender, m in of(Answer)]
    ((_, opened),) = of(Opened)
    product = (opened.sums - masks)[: COLUMNS[p].shape[1]]
    return sim.view(shares, np.concatenate([*answers, np.empty(0, np.uint64)]), product)


def made(p: str, pairs: int, gradient: np.ndarray) -> list:
    # Received messages are in the order of their senders: f before g.
    order = {"l": [2], "f": [0], "g": [0]}[p]
    used = np.stack([np.arange(k * ROWS, (k + 1) * ROWS) for k in order])
    labels = LABELS[:, 0] if p == "l" else None
    make = partial(sim.simulated, fixed=FIXED, part=COLUMNS[p], labels=labels, own=OWN[p], gradient=gradient)
    shares, answers = ROWS * len(SHARES[p]), sum(OPENS[p].values())
    return [make(Seeded("made", p, k), shares=shares, used=used, answers=answers) for k in range(pairs)]


def product_of(view) -> np.ndarray:
    return view["product"].view(np.int64)


def test_the_simulator_knows_what_a_party_computes_from_its_own_shares():
    """A view of a real run, its shares handed to the simulator's rule: the product is the very one."""
    views, gradients = real(3)
    for p in "lfg":
        for view in views[p]:
            words = view["shares"].view(np.uint64).reshape(-1)

            class Replay:
                def words64(self, n, words=words):
                    return words[:n]

            order = {"l": [2], "f": [0], "g": [0]}[p]
            used = np.stack([np.arange(k * ROWS, (k + 1) * ROWS) for k in order])
            labels = LABELS[:, 0] if p == "l" else None
            again = sim.simulated(Replay(), FIXED, COLUMNS[p], labels, OWN[p], gradients[p], words.size, used, 0)
            assert np.abs(product_of(again) - product_of(view)).max() <= 1 << 8  # the output is rounded by a double


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nobody_tells_a_real_step_from_a_simulated_one():
    views, gradients = real(PAIRS)
    for p in "lfg":
        for view in views[p]:
            del view["product"]  # a function of the rest and the output: see the test above
        simulated = made(p, PAIRS, gradients[p])
        for view in simulated:
            del view["product"]
        found = told_apart(views[p], simulated)
        assert max(found.values()) < BAR, (p, found)


def test_shares_without_a_mask_and_answers_without_one_are_told_apart(monkeypatch):
    """The power of the test above."""

    async def bare(s, part, one, other):
        await s.send(one, Share(np.zeros_like(part)))
        await s.send(other, Share(part))

    monkeypatch.setattr(vertical, "_split", bare)
    views, gradients = real(FEW)
    assert all(max(told_apart(views[p], made(p, FEW, gradients[p])).values()) > 0.9 for p in "lfg")


@pytest.mark.parametrize("masked", [True, False])
def test_of_two_parties_an_answer_without_a_mask_is_told_apart(monkeypatch, masked):
    """Here the partner's vectors are the same in all runs, and so is what an answer says that has no mask."""
    if not masked:
        monkeypatch.setattr(inner, "InnerSums", Unmasked)
    views, _ = real(FEW, "lf")
    for p, opened in (("l", 1), ("f", 3)):
        rng = Seeded("answers", p)
        found = told_apart(
            [{"answers": v["answers"]} for v in views[p]],
            [{"answers": sim.as_bytes(rng.words64(opened))} for _ in range(FEW)],
        )
        assert (max(found.values()) > 0.9) != masked


class Unmasked(sim.DealtSums):
    def release(self, masks):
        return super().release(np.zeros_like(masks))
