"""One alignment and one training on every carrier: in one process, in a process for each party, and between daemons
over gRPC, through the coordinator's relay and on a direct route. Results and egress are the same everywhere."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from coordinated import COMMON, World, play
from runtime_world import free_port

from parley.components.lakehouse import load_file
from parley.crypto.box import open_box
from parley.protocols import registry
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit.processes import run_processes
from parley.wire.result import open_result

ROWS = 300
ALIGN = {"uses": "psi/ecdh", "roles": {"receiver": "bank", "sender": ["shop"]}, "with": {"id": "id", "result": "both"}}
TRAIN = {
    "uses": "gbdt/vertical",
    "needs": "align",
    "roles": {"label": "bank", "features": ["shop"]},
    "with": {
        "label": "amount", "id": "id", "objective": "regression", "scheme": "lattice",
        "trees": 2, "depth": 2, "bins": 8,
    },
}  # fmt: skip
Found = tuple[dict[tuple[str, str], Any], Counter[tuple[str, str, str]]]  # results by party and step; egress bytes


def tables(folder: Path) -> dict[str, StepInputs]:
    """What `with_tables` gives the parties."""
    out = {}
    for k, party in enumerate(("bank", "shop")):
        path = folder / f"{party}.csv"
        path.write_text("id,amount\n" + "".join(f"person-{i + 100 * k:05d},{i}\n" for i in range(ROWS)))
        rows = pa.array(range(ROWS), pa.int64())
        out[party] = StepInputs(load_file(path).append_column("_row", rows))
    return out


def in_steps(run: Callable[..., Any], folder: Path) -> Found:
    inputs, results, egress = tables(folder), {}, Counter()
    for name, step in (("align", ALIGN), ("train", TRAIN)):
        done = run(registry.load(step["uses"]), step["roles"], inputs, step["with"])
        for party, outputs in done.outputs.items():
            results[party, name] = outputs.result
            egress.update({(party, row.to, row.tag): 0 for row in done.egress[party]})
            for row in done.egress[party]:
                egress[party, row.to, row.tag] += row.bytes
            inputs[party].needs[name] = outputs.keep
    return {k: v for k, v in results.items() if v}, egress


def between_daemons(direct: bool, folder: Path) -> Found:
    results: dict[tuple[str, str], Any] = {}
    egress: Counter[tuple[str, str, str]] = Counter()

    async def story(w: World) -> None:
        if direct:
            await w.daemons[0].stop()
            address = f"127.0.0.1:{free_port()}"
            w.homes["bank"].config.listen, w.homes["bank"].config.accepts_from = address, ["shop"]
            w.homes["shop"].config.routes = {"bank": address}
            await w.daemons[0].start()
        view = await w.ended(steps={"align": ALIGN, "train": TRAIN})
        assert view["state"] == "succeeded", view["reason"]
        contract = await w.contract(view["id"])
        assert bool(contract.direct) == direct
        for blob in await w.blobs(view["id"]):
            raw = open_box(w.ana.seal, base64.b64decode(blob["sealed"]), contract.hash())
            card = w.homes[blob["party"]].card
            found = open_result(raw, card, contract.hash(), blob["step"], int(blob["attempt"]))
            if found:
                results[blob["party"], blob["step"]] = found
        for party, home in w.homes.items():
            for line in home.ledger.summary(view["id"]):
                if line.to in w.homes:
                    egress[party, line.to, line.tag] = line.bytes

    play(folder, story)
    return results, egress


CARRIERS: dict[str, Callable[[Path], Found]] = {
    "processes": lambda folder: in_steps(run_processes, folder),
    "relay": lambda folder: between_daemons(False, folder),
    "direct": lambda folder: between_daemons(True, folder),
}


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return in_steps(run_local, tmp_path_factory.mktemp("local"))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_gives_the_same_results_and_the_same_egress(
    carrier: str, tmp_path: Path, in_one_process: Found
) -> None:
    results, egress = in_one_process
    assert results["bank", "align"] == {"intersection": COMMON}
    assert results["bank", "train"]["rows"] == COMMON
    found, sent = CARRIERS[carrier](tmp_path)
    assert found == results
    assert sent == egress
    assert len(sent) > 12
