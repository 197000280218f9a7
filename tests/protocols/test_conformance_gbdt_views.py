"""Real ciphertexts of boosting against simulated ones, and real sides of a prediction, at whoever receives them.

What is run: whole trainings of the product's two role functions with real Paillier-2048 under one key made for the
test (a key for each of 20,000 runs would say no more about a ciphertext), two features of which make one answer many
packed ciphertexts. Every pair is one ciphertext of these runs and one that a simulator made for the same place: for a
features party an encryption of nothing, for the label party the sums it may learn, packed by plain integers and
encrypted in a way of its own. The learner is also given what a judge who knows everything knows: the row's label and
derivatives; what is left of an answer when the same answer without re-randomisation is divided out; and what is left of
its plaintext when the sums that may be learnt are taken away. All else that is sent follows from what may be learnt, to
the byte: `test_conformance_gbdt_structure`.

The operating system's randomness is in the keys and nonces, so these measures differ from run to run; see
`checks.indistinguishable` for how far 0.52 is from chance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import gmpy2
import numpy as np
import pyarrow as pa
import pytest
from classifiers import told_apart
from manyruns import one_run
from simulators.gbdt_vertical import Nonces, packed

from parley.crypto import ahe
from parley.crypto.ahe.base import Response
from parley.crypto.ahe.paillier import PaillierPublicKey
from parley.protocols import scheme
from parley.protocols.gbdt import features_side, label_side, messages, predict
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.data import LabelData, part_data
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.kit import Cast

pytestmark = pytest.mark.paillier
PAIRS = 20_000
BAR = 0.52
ROWS, COLUMNS = 64, 28
CAST = Cast({"label": "l", "features": ["f"]})
PARAMS = VERTICAL.validate({"label": "y", "trees": 8, "depth": 2, "bins": 32, "min_child_weight": 0.0}, CAST)


@dataclass
class Answer:
    """One ciphertext of an answer, the same without re-randomisation, its whole plaintext, and the sums in it."""

    raw: np.ndarray
    bare: int
    plaintext: int
    sums: np.ndarray


@dataclass
class Seen:
    gradients: list[tuple[np.ndarray, int]] = field(default_factory=list)  # ciphertext, label of its row
    answers: list[Answer] = field(default_factory=list)


class Watched:
    """A field of the features party's key that keeps what was packed and not yet re-randomised."""

    def __init__(self, field_) -> None:
        self._field, self.joined = field_, []

    def __getattr__(self, name):
        return getattr(self._field, name)

    def join(self, *args):
        out = self._field.join(*args)
        self.joined += [int.from_bytes(r.tobytes(), "little") for r in self._field.leave(out, 1)]
        return out


class World:
    """A key, its public half as the features party holds it, and the two parties' data."""

    def __init__(self) -> None:
        self.key = ahe.generate("paillier", 2048)
        self.n = self.key.public.n
        self.public = PaillierPublicKey.decode(self.key.public.encode())
        self.public.nonces()  # made on the field itself, which a watched one only stands in for
        self.public.field = Watched(self.public.field)
        rng = np.random.default_rng(8)
        x = rng.normal(size=(ROWS, COLUMNS))
        self.y = (x[:, 0] + x[:, 1] + rng.normal(size=ROWS) > 0).astype(float)
        table = pa.table({f"x{k}": x[:, k] for k in range(COLUMNS)})
        rows = np.arange(ROWS, dtype=np.int64)
        everything = np.zeros(ROWS, dtype=np.uint8)
        self.features = part_data(table, rows, table.column_names, 32, everything)
        self.label = LabelData(part_data(table, rows, [], 32, everything), self.y)
        self.nonces = Nonces(self.n, rng)

    def watch(self, count: int, monkeypatch: pytest.MonkeyPatch) -> Seen:
        """At least `count` ciphertexts of each kind from whole trainings."""
        out = Seen()
        monkeypatch.setattr(scheme, "generate", lambda terms: self.key)
        monkeypatch.setattr(scheme, "decode_public", lambda raw, terms: self.public)
        roles = {
            "l": lambda s: label_side.label(s, self.label),
            "f": lambda s: features_side.features(s, self.features),
        }
        decrypted: list[tuple[np.ndarray, list[int], np.ndarray]] = []
        monkeypatch.setattr(self.key, "decrypt", self._decrypting(self.key.decrypt, decrypted))
        while min(len(out.gradients), len(out.answers)) < count:
            decrypted.clear()
            self.public.field.joined.clear()
            _, transcript = asyncio.run(one_run(CAST, PARAMS, roles, {}))
            for e in transcript:
                if e.address.tag == messages.Gradients.TAG and not e.last:
                    cipher = messages.Gradients.decode(e.body, {}).ciphertexts
                    out.gradients += zip(cipher, self.y.astype(int), strict=True)
            plain = [(r, m, s) for raw, ms, sums in decrypted for r, m, s in self._each(raw, ms, sums)]
            assert len(plain) == len(self.public.field.joined)
            out.answers += [Answer(r, b, m, s) for (r, m, s), b in zip(plain, self.public.field.joined, strict=True)]
        return out

    def _decrypting(self, ours, into):
        """The label party's decryption, with the whole plaintexts noted."""
        found: list[tuple[int, list[int]]] = []

        def noted(side):
            real = side.remainders

            def remainders(limbs):
                found.append(real(limbs))
                return found[-1]

            return remainders

        for side in self.key._sides:
            side.remainders = noted(side)

        def decrypt(response: Response, layout):
            found.clear()
            values = ours(response, layout)
            (p, a), (q, b) = found
            ms = [x + p * ((y - x) * int(gmpy2.invert(p, q)) % q) for x, y in zip(a, b, strict=True)]
            into.append((response.raw, ms, values))
            return values

        return decrypt

    def _each(self, raw, plaintexts, sums):
        layout = PARAMS.layout(ROWS)
        group = layout.per_plaintext(2047)
        return [(r, m, sums[k * group : (k + 1) * group]) for k, (r, m) in enumerate(zip(raw, plaintexts, strict=True))]

    # -------------------------------------------------------------- views

    def gradient_view(self, raw: np.ndarray, label: int) -> dict[str, np.ndarray]:
        return {**cut(raw), "label": np.array([label])}

    def answer_view(self, raw: np.ndarray, plaintext: int, answer: Answer) -> dict[str, np.ndarray]:
        square = gmpy2.mpz(self.n) ** 2
        left = int(int.from_bytes(raw.tobytes(), "little") * gmpy2.invert(answer.bare, square) % square)
        over = (plaintext - packed(answer.sums, PARAMS.layout(ROWS).slot, self.n)) % self.n
        rest = np.frombuffer(over.to_bytes(256, "little"), dtype=np.uint8)
        return {
            **cut(raw),
            "not re-randomised": cut(np.frombuffer(left.to_bytes(512, "little"), dtype=np.uint8))["low"],
            "beyond the sums": rest.reshape(4, 64),
        }

    def simulated_answer(self, answer: Answer) -> dict[str, np.ndarray]:
        m = packed(answer.sums, PARAMS.layout(ROWS).slot, self.n)
        return self.answer_view(np.frombuffer(self.nonces.ciphertext(m), dtype=np.uint8), m, answer)

    def simulated_gradient(self, label: int) -> dict[str, np.ndarray]:
        return self.gradient_view(np.frombuffer(self.nonces.ciphertext(0), dtype=np.uint8), label)


def cut(raw: np.ndarray) -> dict[str, np.ndarray]:
    """The lowest and highest 64 bytes bit by bit, and all of it by columns of 64."""
    return {"low": raw[:64].reshape(1, 64), "high": raw[-64:].reshape(1, 64), "all": raw.reshape(-1, 64)}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def plenty(world):
    with pytest.MonkeyPatch.context() as m:
        return world.watch(PAIRS, m)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_features_party_tells_real_gradients_from_encryptions_of_nothing(world, plenty):
    gradients = plenty.gradients[:PAIRS]
    found = told_apart(
        [world.gradient_view(raw, y) for raw, y in gradients], [world.simulated_gradient(y) for _, y in gradients]
    )
    print(found)
    assert max(found.values()) < BAR


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_label_party_tells_real_answers_from_what_it_may_learn(world, plenty):
    answers = plenty.answers[:PAIRS]
    found = told_apart(
        [world.answer_view(a.raw, a.plaintext, a) for a in answers], [world.simulated_answer(a) for a in answers]
    )
    print(found)
    assert max(found.values()) < BAR


@pytest.fixture(scope="module")
def few(world):
    with pytest.MonkeyPatch.context() as m:
        return world.watch(500, m)


def judged(world: World, real, simulated) -> float:
    return max(told_apart(real[:500], simulated[:500]).values())


@pytest.mark.slow
def test_five_hundred_pairs_show_nothing(world, few):
    answers = few.answers[:500]
    real = [world.answer_view(a.raw, a.plaintext, a) for a in answers]
    assert judged(world, real, [world.simulated_answer(a) for a in answers]) < 0.61
    gradients = few.gradients[:500]
    real = [world.gradient_view(raw, y) for raw, y in gradients]
    assert judged(world, real, [world.simulated_gradient(y) for _, y in gradients]) < 0.61


@pytest.mark.slow
def test_a_byte_of_plaintext_in_a_ciphertext_is_found(world, few):
    """Planted: the lowest bit of a ciphertext is the row's label."""
    real = []
    for raw, y in few.gradients[:500]:
        changed = raw.copy()
        changed[3] = y
        real.append(world.gradient_view(changed, y))
    assert judged(world, real, [world.simulated_gradient(y) for _, y in few.gradients[:500]]) > 0.7


@pytest.mark.slow
def test_a_derivative_without_a_nonce_is_found(world, few):
    """Planted: (1 + m n) as it is."""
    real = []
    for _, y in few.gradients[:500]:
        value = 1 + (int(y) + 1) * (1 << 31) * world.n
        real.append(world.gradient_view(np.frombuffer(value.to_bytes(512, "little"), dtype=np.uint8), y))
    assert judged(world, real, [world.simulated_gradient(y) for _, y in few.gradients[:500]]) > 0.7


@pytest.mark.slow
def test_an_answer_that_is_not_re_randomised_is_found(world, monkeypatch):
    """Planted: the packed sums leave as they are, a product of what the label party itself encrypted."""

    def release(self, sums, layout):
        joined = self.field.join(sums.inner, layout.per_plaintext(self.bits - 1), layout.width, 1)
        raw = self.field.leave(joined, 1).view(np.uint8).reshape(len(joined), self.size)
        return Response(raw, len(sums))

    monkeypatch.setattr(PaillierPublicKey, "release", release)
    answers = world.watch(500, monkeypatch).answers[:500]
    real = [world.answer_view(a.raw, a.plaintext, a) for a in answers]
    assert judged(world, real, [world.simulated_answer(a) for a in answers]) > 0.7


@pytest.mark.slow
def test_a_bit_beyond_the_sums_is_found(world, few):
    """Planted: one more bit above the packed sums, where decryption does not look."""
    answers = few.answers[:500]
    real = [world.answer_view(a.raw, (a.plaintext + (1 << 2040)) % world.n, a) for a in answers]
    assert judged(world, real, [world.simulated_answer(a) for a in answers]) > 0.7


# ---------------------------------------------------------------- prediction


def sides(pairs: int, leak: bool) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Real and simulated views of the label party: one split of three bins over 13 rows, other columns in each run."""
    rng = np.random.default_rng(4)
    params = predict.PREDICT.validate({}, CAST)
    splits = Splits([0], [0], [0], [np.array([1, 0, 1], dtype=np.uint8)])
    real, simulated = [], []

    async def many() -> None:
        for _ in range(pairs):
            bins = rng.integers(0, 3, size=(13, 1)).astype(np.uint16)
            _, transcript = await one_run(CAST, params, {"f": lambda s, b=bins: predict.features(s, splits, b)}, {})
            message = predict.Sides.decode(transcript[0].body, {})
            left = message.left.copy()
            if leak:  # planted: the three bits of padding hold a row's bin
                left[0, -1] |= bins[0, 0]
            directions = np.packbits(np.isin(bins[:, 0], (0, 2)))[None, :]
            both = [*left.tobytes(), message.tree, *message.node], [*directions.tobytes(), 0, 0]
            for views, numbers in zip((real, simulated), both, strict=True):
                views.append({"left": np.array([numbers[:2]], dtype=np.uint8), "rest": np.array(numbers[2:])})

    asyncio.run(many())
    return real, simulated


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_tells_real_sides_from_simulated_ones():
    found = told_apart(*sides(PAIRS, leak=False))
    print(found)
    assert max(found.values()) < BAR


def test_a_bin_in_the_padding_of_sides_is_found():
    assert max(told_apart(*sides(500, leak=True)).values()) > 0.7
    real, simulated = sides(500, leak=False)
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(real, simulated, strict=True) for k in a)
