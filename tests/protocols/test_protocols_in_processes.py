"""The registered protocols with every role in a process of its own: same outcomes, everything fits the codec."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from vertical import CAST2, with_rows

from parley.protocols import registry
from parley.protocols.kit import StepInputs
from parley.protocols.kit.host import ChildHost
from parley.protocols.kit.pipework import Shelf
from parley.protocols.kit.processes import run_processes

pytestmark = pytest.mark.paillier


def tables() -> dict[str, pa.Table]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(120, 4)).round(3)
    y = (x[:, 0] + x[:, 2] > 0).astype(int)
    ids = np.array([f"p{i}" for i in range(120)])
    other = rng.permutation(120)[:100]
    return {
        "bank": with_rows(pa.table({"id": ids, "y": y, "x0": x[:, 0], "x1": x[:, 1]})),
        "bureau": with_rows(pa.table({"id": ids[other], "x2": x[other, 2], "x3": x[other, 3]})),
    }


def step(name, cast, needs, params):
    given = {p: StepInputs(t, needs.get(p, {})) for p, t in tables().items() if any(p in m for m in cast.values())}
    return run_processes(registry.load(name), cast, given, params)


def test_align_train_predict_and_evaluate_in_processes():
    align = step("psi/ecdh", {"receiver": ("bank",), "sender": ("bureau",)}, {}, {"id": "id", "floor": 10})
    assert align["bank"].result == {"intersection": 100}
    needs = {p: {"align": align[p].keep} for p in ("bank", "bureau")}
    cast = {r: (p,) if isinstance(p, str) else tuple(p) for r, p in CAST2.items()}
    params = {"label": "y", "id": "id", "trees": 2, "depth": 2, "bins": 8, "validation": 0.2, "early_stopping": 2}
    trained = step("gbdt/vertical", cast, needs, params)
    assert trained["bank"].result["rows"] == 80
    for p in needs:
        needs[p]["train"] = trained[p].keep
    predicted = step("gbdt/predict", cast, needs, {"label": "y"})
    np.testing.assert_allclose(predicted["bank"].keep["scores"], trained["bank"].keep["scores"], atol=1e-12)
    scored = step("gbdt/score", cast, needs, {"label": "y", "trees": 2, "depth": 2, "scale_bits": 32})
    np.testing.assert_allclose(scored["bank"].keep["scores"], predicted["bank"].keep["scores"], atol=1e-7)
    needs["bank"] = {"train": trained["bank"].keep}
    found = step("evaluate", {"label": ("bank",)}, needs, {})["bank"].result
    assert found["metrics"]["training"]["auc"] > 0.8
    json.dumps(found, allow_nan=False)


def test_a_step_process_converts_values_without_importing_pandas():
    """Without the hook the same conversions do import it, where it is installed: else this would prove nothing."""
    use = "import sys, numpy as np, pyarrow as pa; from parley.protocols.kit import child; {}"
    use += "pa.array(np.arange(3)), pa.array(['x', None]), pa.scalar(1), pa.table({{'b': [1.5]}});"
    use += "print('pandas' in sys.modules, end=' '); import pandas; print(pandas.DataFrame({{'a': [1]}}).shape)"
    said = {}
    for hook in ("child._arrow_without_pandas();", ""):
        ran = subprocess.run(
            [sys.executable, "-P", "-c", use.format(hook)], capture_output=True, text=True, timeout=120
        )
        said[hook] = ran.stdout.strip()
    assert list(said.values()) == ["False (1, 1)", "True (1, 1)"]


def test_a_process_that_ends_just_as_it_is_to_be_killed_is_closed_all_the_same():
    """On a busy machine it may be gone by the time the wait for it has run out."""

    class Gone:
        returncode = None
        waits = 0

        async def wait(self):
            self.waits += 1
            if self.waits == 1:
                raise TimeoutError
            return 0

        def kill(self):
            raise ProcessLookupError

    class Writer:
        closed = False

        def close(self):
            self.closed = True

    process, writer = Gone(), Writer()
    host = ChildHost(process, None, writer, Shelf(-1))
    host.kill("cancelled")
    asyncio.run(host.close())
    assert process.waits == 2
    assert writer.closed
