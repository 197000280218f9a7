"""Step processes before they have a step: how they are confined, handed their files, kept ready and thrown away."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from parley.protocols.kit import StepInputs, spare
from parley.protocols.kit.host import ChildHost, ChildSpec
from parley.protocols.kit.spare import Spare, StepProcess
from parley.wire.errors import ParleyError

SEAL = "import os, sys; {first}from parley.protocols.confined import seal; {uid}; print(seal())"
NOBODY = 65_534


def filling(attempt: int = 1, threads: int = 1) -> ChildSpec:
    """One party's part of a step without messages."""
    table = pa.table({"_row": np.arange(3), "x": [1.0, None, 2.0]})
    cast = {"member": ["bank"]}
    inputs = StepInputs(table)
    return ChildSpec("prep/impute", "j", "s", attempt, "bank", cast, {}, bytes(32), inputs, 30.0, threads=threads)


async def done(host: ChildHost) -> Any:
    async def leave(envelope: Any) -> None:
        raise AssertionError("nothing leaves")

    async def keep(boundary: int, state: bytes) -> None:
        raise AssertionError("nothing is kept")

    return await asyncio.wait_for(host.run(leave, lambda *told: None, keep), 30)


async def warmed(threads: int = 1) -> Spare:
    """A spare that is there."""
    made = Spare(wanted=True)
    made.later(0, threads)
    for _ in range(600):
        if made._ready is not None:
            return made
        await asyncio.sleep(0.05)
    raise AssertionError("no spare was made")


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


def test_a_spare_serves_one_attempt_and_the_next_has_a_process_of_its_own():
    async def body() -> None:
        kept = await warmed()
        waiting = kept._ready.process.pid
        first = await ChildHost.spawn(filling(1), kept)
        out = await done(first)
        assert first.pid == waiting
        assert out.result == {"columns": 1}
        second = await ChildHost.spawn(filling(2), kept)
        assert second.pid != waiting
        assert (await done(second)).result == out.result
        assert not alive(waiting)
        await kept.close()

    asyncio.run(body())


def test_a_spare_that_died_or_was_made_for_other_settings_is_not_used():
    async def body() -> None:
        kept = await warmed()
        dead = kept._ready.process.pid
        kept._ready.process.kill()
        await kept._ready.process.wait()
        host = await ChildHost.spawn(filling(), kept)
        assert host.pid != dead
        await done(host)
        await kept.close()
        other = await warmed(threads=2)
        unfit = other._ready.process.pid
        host = await ChildHost.spawn(filling(), other)
        assert host.pid != unfit
        assert not alive(unfit)
        await done(host)
        await other.close()

    asyncio.run(body())


def test_one_that_dies_while_it_is_told_its_step_is_a_step_that_failed(monkeypatch):
    monkeypatch.setattr(StepProcess, "fits", lambda self, threads: True)

    async def body() -> None:
        kept = await warmed()
        kept._ready.process.kill()
        await kept._ready.process.wait()
        with pytest.raises(ParleyError) as e:
            await done(await ChildHost.spawn(filling(), kept))
        assert (e.value.code, e.value.retryable) == ("child_died", True)
        await kept.close()

    asyncio.run(body())


def test_after_closing_none_waits_and_none_is_made():
    async def body() -> None:
        kept = await warmed()
        pid = kept._ready.process.pid
        kept.later(0, 1)
        await kept.close()
        assert not alive(pid)
        kept.later(0, 1)
        await asyncio.sleep(0.3)
        assert kept._ready is None
        unwanted = Spare(wanted=False)
        unwanted.later(0, 1)
        host = await ChildHost.spawn(filling(), unwanted)
        await done(host)
        assert unwanted._ready is None

    asyncio.run(body())


def test_a_spare_ends_with_its_daemon():
    """Its end of the socket is all that it waits for."""

    async def body() -> None:
        begun = await StepProcess.start(1)
        begun._sock.close()
        assert await asyncio.wait_for(begun.process.wait(), 20) == 0

    asyncio.run(body())


def test_it_is_confined_before_it_is_told_anything():
    async def body() -> None:
        kept = await warmed()
        pid = kept._ready.process.pid
        for _ in range(400):  # it is told nothing in all this time
            if status(pid)["NoNewPrivs"] == "1" and "numpy" in Path(f"/proc/{pid}/maps").read_text():
                break
            await asyncio.sleep(0.05)
        assert status(pid)["NoNewPrivs"] == "1"
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        if os.geteuid() == 0:  # another user may not look
            assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
            seen = {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir() if f.exists() or f.is_symlink()}
            assert all(s == "/dev/null" or s.startswith(("socket:", "anon_inode:")) for s in seen), seen
        await kept.close()

    asyncio.run(body())


@pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux's unshare is missing")
def test_without_privilege_the_network_goes_too_where_nothing_was_loaded_before():
    uid = f"os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})"
    if os.geteuid() != 0:
        uid = "None"
    found = []
    for first in ("", "import numpy; "):
        code = SEAL.format(first=first, uid=uid)
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
        ran = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True
        )
        found.append(ran.stdout.strip())
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    can = subprocess.run([*user, "unshare", "--user", "--net", "true"], timeout=60, check=False).returncode == 0
    if not can:
        pytest.skip("this machine lets nobody but root make namespaces")
    assert found == ["True", "False"]


@pytest.mark.parametrize("count", [0, 1, 200, 201, 450])
def test_any_number_of_open_files_arrives_in_order(count):
    ours, theirs = socket.socketpair()
    files = [os.memfd_create(f"n{i}") for i in range(count)]
    for i, fd in enumerate(files):
        os.pwrite(fd, b"%d" % i, 0)
    got: list[int] = []

    async def give() -> None:
        process = StepProcess(None, ours, 1)
        _, writer = await process.give(files)
        writer.close()

    thread = threading.Thread(target=lambda: got.extend(spare.given_files(theirs) or []))
    thread.start()
    asyncio.run(give())
    thread.join(timeout=20)
    assert [os.pread(fd, 9, 0) for fd in got] == [b"%d" % i for i in range(count)]
    assert not set(got) & set(files)
    for fd in (*files, *got):
        os.close(fd)
    theirs.close()
