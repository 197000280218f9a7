"""The product's own source against the lints, and each lint against a planted example that it must find."""

from __future__ import annotations

import lints
import pytest

# path -> reason. Empty, or each line defends itself.
WAITS_ALLOWED: dict[str, str] = {
    "coordinator/drivers/relay.py": "a pipe waits as long as its stream; the job's deadline ends each attempt",
    "coordinator/service.py": "the daemon runs until it is told to stop, and that wait is its life",
    "party/runtime/daemon.py": "the daemon runs until it is told to stop, and that wait is its life",
    "party/runtime/jobs.py": "a job's worker waits for the next instruction until the job is closed",
    "party/runtime/steps.py": "the job's deadline bounds every attempt, and with it the wait for its child",
    "protocols/kit/child.py": "Session._get bounds every carrier wait by the step's patience",
    "protocols/kit/exchange.py": "Session._get bounds every carrier wait by the step's patience",
    "protocols/kit/host.py": "a sender waits for the child's next message; the step's deadline ends the child and it",
}
LENGTH_ALLOWED: dict[str, str] = {
    "coordinator/store/migrations/versions/0001_first.py": "a migration is one list of tables, as Alembic wrote it",
}

PLANTED = [
    "import pickle",
    "from random import choice",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "import numpy as np\nnp.random.rand()",
    "requests.get('x', verify=False)",
    "grpc.insecure_channel('x')",
    "server.add_insecure_port('x')",
    "subprocess.run('x', shell=True)",
    "yaml.load('x')",
    "os.system('x')",
    "np.load('x', allow_pickle=True)",
    "import marshal",
    "try:\n    pass\nexcept:\n    pass",
]


@pytest.mark.parametrize("source", PLANTED)
def test_the_lint_finds_what_is_planted(source: str) -> None:
    assert lints.forbidden(source)


def test_the_lint_leaves_ordinary_code_alone() -> None:
    ordinary = "import re\nre.compile('x')\nyaml.safe_load('x')\nrequests.get('x', verify=True)\nmodel.eval()"
    assert lints.forbidden(ordinary) == []


def test_waits_with_and_without_a_deadline_are_told_apart() -> None:
    assert lints.unbounded_waits("e.wait()")
    assert lints.unbounded_waits("async def f(): await q.get()")
    assert not lints.unbounded_waits("e.wait(5)\nt.join(timeout=1)\n', '.join(x)\nd.get('k')")
    assert not lints.unbounded_waits("async def f():\n    async with asyncio.timeout(5):\n        await q.get()")
    assert not lints.unbounded_waits("async def f(): await asyncio.wait_for(q.get(), 5)")
    assert lints.unbounded_waits("def f(): future.result()")
    assert not lints.unbounded_waits("async def f(): return task.result()")


def test_a_suppression_needs_a_reason() -> None:
    bare = "x = 1  # no" + "qa: E501"
    assert lints.unexplained(bare)
    assert not lints.unexplained(bare + " the vector is one line")


def test_length_is_measured() -> None:
    assert lints.too_long("def f():\n" + "    x = 1\n" * 41)
    assert not lints.too_long("def f():\n" + "    x = 1\n" * 40)
    assert lints.too_long("x = 1\n" * 601)


def _all(lint: object) -> list[lints.Finding]:
    assert callable(lint)
    files = lints.product_files()
    assert len(files) > 20
    return [f for p in files for f in lint(p.read_text(encoding="utf-8"), str(p.relative_to(lints.ROOT)))]


def test_product_code_uses_nothing_forbidden() -> None:
    assert _all(lints.forbidden) == []


def test_every_wait_has_a_deadline() -> None:
    assert [f for f in _all(lints.unbounded_waits) if f.path not in WAITS_ALLOWED] == []


def test_every_suppression_says_why() -> None:
    assert _all(lints.unexplained) == []


def test_files_and_functions_keep_the_measure() -> None:
    assert [f for f in _all(lints.too_long) if f.path not in LENGTH_ALLOWED] == []
