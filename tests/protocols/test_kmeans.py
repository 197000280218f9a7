"""k-means over several parties' columns: against the oracle and scikit-learn; misbehaviour; what the sums hide."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cases import CASES
from shared import need
from vertical import part

from parley.components.training import kmeans as lloyd
from parley.protocols.cluster import kmeans
from parley.protocols.cluster.jobs import KMEANS
from parley.protocols.cluster.kmeans import Best, Masked, Nearest, Order, Pair, Spread, Verdict
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import kmeans_oracle as oracle

BITS = 16
PARAMS = {"exclude": ["id", "y"]}


def real(name: str, *cut: slice) -> tuple[dict[str, StepInputs], list[oracle.Point]]:
    """The parties' inputs in the order of the host's ids, and the rows for the oracle; guest columns may be cut."""
    import pyarrow.csv as pacsv

    paths = [need(f"data/{name}_hetero_{side}.csv") for side in ("guest", "host")]
    tables = [pacsv.read_csv(p) for p in paths]
    order = tables[1].column("id").to_pylist()
    guest = tables[0].take(pa.array([tables[0].column("id").to_pylist().index(i) for i in order]))
    columns = [n for n in guest.column_names if n not in ("id", "y")]
    inputs = {f"guest{k}": part(guest.select(["id", "y", *columns[s]])) for k, s in enumerate(cut or (slice(None),))}
    inputs |= {"host": part(tables[1]), "adder": StepInputs()}
    of = [oracle.points(p, BITS) for p in paths]
    return inputs, [of[0][str(i)] + of[1][str(i)] for i in order]


def run(inputs: dict[str, StepInputs], params: dict[str, object] | None = None, setting: Setting | None = None):
    cast = {"member": [p for p in inputs if p != "adder"], "aggregator": "adder"}
    return run_local(KMEANS, cast, inputs, {**PARAMS, **(params or {})}, setting=setting)


def begun_at(done, party: str, inputs) -> np.ndarray:
    """(starts, k) places of the first centres among the rows."""
    rows = list(inputs[party].needs["align"]["rows"])
    return np.array([[rows.index(r) for r in start] for start in done[party].keep["begun"].tolist()])


CUTS = {"vehicle_scale": (slice(0, 4), slice(4, None)), "breast": (slice(None),)}


@pytest.mark.parametrize("name", CUTS)
def test_clusters_centres_and_inertia_are_the_oracles(name, monkeypatch):
    monkeypatch.setattr(kmeans, "CELLS", 1000)  # several chunks
    inputs, rows = real(name, *CUTS[name])
    done = run(inputs, {"clusters": 4, "starts": 2, "rounds": 12, "tolerance": 0.005})
    begun = begun_at(done, "host", inputs)
    found = [oracle.run(rows, [rows[i] for i in start], 12, 0.005) for start in begun]
    best = min(range(2), key=lambda k: found[k][2])
    _, centres, inertia, rounds = found[best]
    clusters = np.array(oracle.nearest(rows, centres))
    assert done["adder"].result == {"inertia": inertia / 4**BITS, "start": best, "rounds": rounds}
    members = [p for p in inputs if p != "adder"]
    assert all(np.array_equal(done[p].keep["clusters"], clusters) for p in members)
    ours = np.hstack([done[p].keep["centres"] for p in members]) * 2**BITS
    assert np.array_equal(ours, np.array(centres))
    assert done[members[0]].result == {"cluster_sizes": np.bincount(clusters, minlength=4).tolist()}
    assert not done[members[1]].result


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTS)
def test_it_ends_where_scikit_learn_does_from_the_same_first_centres(name):
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    inputs, rows = real(name)
    done = run(inputs, {"clusters": 3, "starts": 1, "rounds": 100, "tolerance": 0})
    x = np.array(rows) / 2**BITS
    with threadpool_limits(1):
        central = KMeans(3, init=x[begun_at(done, "host", inputs)[0]], n_init=1, max_iter=100, tol=0).fit(x)
    assert np.array_equal(done["host"].keep["clusters"], central.labels_)
    assert done["adder"].result["inertia"] == pytest.approx(central.inertia_, rel=1e-4)
    ours = np.hstack([done[p].keep["centres"] for p in ("guest0", "host")])
    assert np.abs(ours - central.cluster_centers_).max() < 1e-3


def numbers(rows: int = 40, seed: int = 3, by: float = 1.0) -> dict[str, StepInputs]:
    rng = np.random.default_rng(seed)
    near = rng.integers(0, 3, rows)[:, None] * 6.0
    x = near + rng.normal(size=(rows, 4))
    table = pa.table({f"x{k}": x[:, k] * by for k in range(4)})
    return {"ada": part(table.select(["x0"])), "bo": part(table.select(["x1", "x2", "x3"])), "adder": StepInputs()}


FEW = {"exclude": [], "clusters": 3, "starts": 2, "rounds": 5}


def test_rows_held_out_do_not_move_centres_and_get_a_cluster_all_the_same():
    inputs = numbers()
    where = np.repeat([0, 2], 20).astype(np.uint8)
    outlying = {}
    for p in ("ada", "bo"):
        kept = inputs[p].needs["align"]
        outlying[p] = StepInputs(inputs[p].table, {"split": {"rows": kept["rows"], "part": where, "depth": 1}})
    done = run({**outlying, "adder": StepInputs()}, FEW)
    alone = {p: StepInputs(i.table, {"align": {"rows": i.needs["split"]["rows"][:20]}}) for p, i in outlying.items()}
    same = run({**alone, "adder": StepInputs()}, FEW)
    assert done["adder"].result == same["adder"].result
    assert np.array_equal(done["bo"].keep["centres"], same["bo"].keep["centres"])
    assert done["bo"].keep["clusters"].shape == (40,)
    assert np.array_equal(done["bo"].keep["clusters"][:20], same["bo"].keep["clusters"])


def test_small_clusters_have_no_size_and_none_can_be_worked_out():
    clusters = np.repeat([0, 1, 2], [30, 5, 12]).astype(np.uint8)
    assert lloyd.told_sizes(clusters, 4, 1) == [30, 5, 12, 0]
    assert lloyd.told_sizes(clusters, 4, 10) == [30, None, None, 0]
    assert lloyd.told_sizes(clusters, 3, 20) == [30, None, None]


def test_an_empty_cluster_keeps_its_centre():
    rows, centres = np.array([[1], [2], [4]]), np.array([[2], [100]])
    assert lloyd.means(rows, np.zeros(3, np.uint8), centres).tolist() == [[2], [100]]


def test_sums_that_outgrow_a_word_are_exact():
    rows, far = np.full((9, 1), 1 << 29), np.full((1, 1), -(1 << 29))
    assert lloyd.spread(rows, np.zeros(9, np.uint8), far) == 9 << 60
    wide = lloyd.column_limit(2, 2.0**29, 0)
    assert wide == 1
    assert lloyd.nearest(np.array([[1 << 63, (1 << 63) - 1], [2, 2**64 - 1]], np.uint64)).tolist() == [1, 1]


def test_bytes_are_the_docstrings():
    inputs = numbers()
    done = run(inputs, {**FEW, "starts": 1, "rounds": 2, "tolerance": 0})
    body = c.bytes_by_tag(done.transcript)
    wanted = {
        ("ada", "bo", Pair.TAG): 32,
        ("ada", "bo", Order.TAG): 32,
        ("ada", "adder", Verdict.TAG): 2,
        **{(p, "adder", Masked.TAG): 3 * 8 * 40 * 3 for p in ("ada", "bo")},
        **{("adder", p, Nearest.TAG): 3 * 40 for p in ("ada", "bo")},
        **{(p, "adder", Spread.TAG): 16 for p in ("ada", "bo")},
        **{("adder", p, Best.TAG): 8 for p in ("ada", "bo")},
    }
    assert set(body) == set(wanted)
    for key, size in wanted.items():
        assert size <= body[key] <= size + 300, key


REFUSED = {
    "no_columns": {"columns": {"bo": ["x1"]}},
    "unknown_column": {"columns": {"ada": ["x0"], "bo": ["x9"]}},
    "out_of_range": {"max_value": 1.5},
    "too_many_columns": {"max_value": 10_000, "fraction_bits": 16},
    "bad_parameters": {"max_value": 1e6, "fraction_bits": 24},
    "too_few_rows": {"clusters": 41},
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_sent(code):
    with pytest.raises(ParleyError) as e:
        run(numbers(), {**FEW, **REFUSED[code]})
    assert e.value.code == code


def test_missing_values_and_a_single_member_are_refused():
    inputs = numbers()
    table = inputs["ada"].table
    holes = table.set_column(0, "x0", pa.array([None, *table.column("x0").to_pylist()[1:]], pa.float64()))
    with pytest.raises(ParleyError) as e:
        run({**inputs, "ada": StepInputs(holes, inputs["ada"].needs)}, FEW)
    assert e.value.code == "missing_values"
    with pytest.raises(ParleyError) as e:
        KMEANS.validate({}, Cast({"member": ["ada"], "aggregator": ["adder"]}))
    assert e.value.code == "bad_roles"


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused(change):
    case = CASES["kmeans/vertical"]
    whole = case.run().transcript
    for index, error in c.mutations(lambda setting: case.run(setting), len(whole), change, every=9):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")


def test_every_loss_ends_with_an_error_and_never_with_a_result():
    case = CASES["kmeans/vertical"]
    ends = list(c.losses(lambda setting: case.run(setting), len(case.run().transcript), every=17))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def instead(kind, sender: str, make) -> Setting:
    """Every message or chunk of a kind from one party is another one."""

    def fault(envelope, now):
        a = envelope.address
        if now == "before" and a.tag == kind.TAG and a.sender == sender and not envelope.last:
            return dataclasses.replace(envelope, body=make(kind.decode(envelope.body, {})).encode())
        return envelope

    return Setting(fault=fault, patience=2)


WRONG = {
    "a centre that there is not": (Nearest, "adder", lambda m: Nearest(m.centre | 16)),
    "another number of rows": (Nearest, "adder", lambda m: Nearest(m.centre[:-1])),
    "a start that there was not": (Best, "adder", lambda m: Best(2)),
    "another number of centres": (Masked, "bo", lambda m: Masked(m.distances[:, 1:])),
    "fewer rows": (Masked, "bo", lambda m: Masked(m.distances[1:])),
    "rounds without end": (Verdict, "ada", lambda m: Verdict(True)),
}


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what):
    kind, sender, make = WRONG[what]
    with pytest.raises(ParleyError) as e:
        run(numbers(), {**FEW, "rounds": 1} if kind is Verdict else FEW, instead(kind, sender, make))
    assert (e.value.party, e.value.code) == (sender, "protocol_violation")


# ---------------------------------------------------------------- what the aggregator does not see


def sums_seen(inputs: dict[str, StepInputs], monkeypatch) -> list[np.ndarray]:
    seen: list[np.ndarray] = []
    honest = lloyd.nearest
    monkeypatch.setattr(lloyd, "nearest", lambda total: seen.append(total) or honest(total))
    run(inputs, FEW)
    monkeypatch.undo()
    return seen


def test_the_sum_is_the_differences_and_nothing_else(monkeypatch):
    """The masks cancel: differences to the first centre are those of the plain distances, in another order."""
    inputs = numbers()
    seen = sums_seen(inputs, monkeypatch)
    done = run(inputs, FEW)
    order = inputs["ada"].needs["align"]["rows"]
    x = []
    for p in ("ada", "bo"):
        at = {r: k for k, r in enumerate(inputs[p].table.column("_row").to_pylist())}
        table = inputs[p].table.take(pa.array([at[r] for r in order.tolist()]))
        names = [n for n in table.column_names if n != "_row"]
        x.append(np.stack([np.rint(table.column(n).to_numpy() * 2**BITS) for n in names], axis=1))
    rows = np.hstack(x)
    centres = np.hstack([done[p].keep["centres"] for p in ("ada", "bo")]) * 2**BITS
    plain = ((rows[:, None] - centres[None]) ** 2).sum(axis=2)
    wanted = plain - plain[:, :1]
    got = (seen[-1] - seen[-1][:, :1]).view(np.int64).astype(np.float64)
    assert np.allclose(np.sort(got[:, 1]), np.sort(wanted[:, 1]), rtol=1e-9, atol=2**20)
    assert not np.allclose(got[:, 1], wanted[:, 1], rtol=1e-3)  # not in the rows' order
    assert np.median(seen[-1].astype(np.float64)) > 2.0**55  # plain distances stay below 2^46
    assert plain.max() < 2.0**46


def test_one_run_has_other_masks_in_every_round_and_another_run_too(monkeypatch):
    first, second = (sums_seen(numbers(), monkeypatch) for _ in range(2))
    words = np.concatenate([t[:, 0] for t in (*first, *second)])
    assert np.unique(words).size == words.size


# ---------------------------------------------------------------- a whole job

JOB = """\
name: groups
purpose: Group the customers in common.
parties: {ada: {data: t}, bo: {data: t}, adder: {}}
steps:
  align: {uses: psi/ecdh, roles: {receiver: ada, sender: bo}, with: {id: id}}
  scale: {uses: prep/scale, needs: [align], roles: {member: [ada, bo]}, with: {exclude: [id]}}
  groups:
    uses: kmeans/vertical
    needs: [scale]
    roles: {member: [ada, bo], aggregator: adder}
    with: {clusters: 3, starts: 4, exclude: [id]}
"""


def test_a_whole_job_with_an_aggregator_that_brings_no_data(tmp_path):
    from parley import Parley

    rng = np.random.default_rng(4)
    group = rng.permutation(np.repeat([0, 1, 2], [30, 20, 15]))
    (tmp_path / "job.yaml").write_text(JOB, encoding="utf-8")
    files = {}
    for p in ("ada", "bo"):
        files[p] = tmp_path / f"{p}.csv"
        values = 900 * group + rng.normal(size=65)
        lines = "".join(f"u{k},{v}\n" for k, v in enumerate(values.tolist()))
        files[p].write_text(f"id,x\n{lines}", encoding="utf-8")
    found = Parley.local(tmp_path / "job.yaml", files)
    assert sorted(found.steps["groups"].results["ada"]["cluster_sizes"]) == [15, 20, 30]
    assert 0 < found.steps["groups"].results["adder"]["inertia"] < 1
