"""The daemon as a process: started in the background, seen, stopped; its log."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runtime_world import World, align, problem, with_tables

from parley.party import process
from parley.party.home import PartyHome
from parley.party.runtime import daemon
from parley.wire.errors import ParleyError


def test_a_home_that_joined_nothing_does_not_start(tmp_path: Path) -> None:
    home = PartyHome.create(tmp_path / "home", "bank")
    with pytest.raises(ParleyError) as caught:
        daemon.spawn_detached(home)
    assert caught.value.code == "not_joined"
    assert daemon.status(home)["state"] == "stopped"
    assert daemon.stop(home) is False


def test_a_stale_pid_file_is_nobody(tmp_path: Path) -> None:
    home = PartyHome.create(tmp_path / "home", "bank")
    process.pid_file(home.path, "party").write_text("1")  # lives, and is not ours
    assert daemon.status(home)["state"] == "stopped"
    process.pid_file(home.path, "party").write_text("not a number")
    assert daemon.stop(home) is False


@pytest.mark.timeout(100)
def test_started_in_the_background_killed_started_again_and_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        w = World(tmp_path)
        with_tables(w)
        bank = w.homes["bank"]
        await w.coordinator.start()
        try:
            pid = await asyncio.to_thread(daemon.spawn_detached, bank)
            status = daemon.status(bank)
            assert (status["state"], status["pid"], status["running"]) == ("connected", pid, [])
            with pytest.raises(ParleyError) as caught:
                daemon.spawn_detached(bank)
            assert caught.value.code == "already_running"
            w.coordinator.say("bank", prepare=w.prepare(align()))
            event = await w.coordinator.event("bank", "offer", "refused")
            assert event.WhichOneof("kind") == "offer", problem(event.refused.problem)
            os.kill(pid, signal.SIGKILL)
            for _ in range(100):
                if daemon.status(bank)["state"] == "stopped":
                    break
                await asyncio.sleep(0.1)
            again = await asyncio.to_thread(daemon.spawn_detached, bank)
            assert again != pid
            began = time.monotonic()
            assert await asyncio.to_thread(daemon.stop, bank) is True
            assert time.monotonic() - began < 10
            assert daemon.status(bank)["state"] == "stopped"
            log = (bank.path / "log" / "party.log").read_text()
            assert "link_up" in log
            assert "person-" not in log, "the log shows record ids"
        finally:
            daemon.stop(bank)
            await w.coordinator.stop()

    asyncio.run(body())


def test_one_pid_file_serves_both_daemons_and_a_second_one_is_refused(tmp_path: Path) -> None:
    with process.claimed(tmp_path, "party"):
        assert (tmp_path / "party.pid").stat().st_mode & 0o077 == 0
        assert process.running(tmp_path, "coordinator") is None
        sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)  # parley"])
        process.pid_file(tmp_path, "coordinator").write_text(str(sleeping.pid))
        try:
            for _ in range(100):  # its command line is there a moment after it is
                if process.running(tmp_path, "coordinator") is not None:
                    break
                time.sleep(0.05)
            with pytest.raises(ParleyError) as caught:
                process.spawn(tmp_path, "coordinator", ["coordinator", "start", "--home", str(tmp_path)])
            assert caught.value.code == "already_running"
            with pytest.raises(ParleyError), process.claimed(tmp_path, "coordinator"):
                raise AssertionError("it was claimed twice")
            assert process.stop(tmp_path, "coordinator") is True
            assert sleeping.poll() is not None
        finally:
            sleeping.kill()
    assert not (tmp_path / "party.pid").exists()


def test_a_daemon_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    pid = process.spawn(tmp_path, "party", ["party", "start", "--home", str(tmp_path / "nowhere")])
    with pytest.raises(ParleyError, match="ended at once") as caught:
        process.until(lambda: False, pid, tmp_path, "party", 30)
    assert caught.value.code == "did_not_start"
