"""Joining by command: invites, codes, and a coordinator that comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.demo.cluster import Cluster, free_port
from parley.wire.errors import ParleyError

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def cluster(tmp_path: Path, daemon_env: dict[str, str]) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "homes", print, env=daemon_env)
    ports = ("--rest-port", str(free_port()), "--grpc-port", str(free_port()))
    made.parley("coordinator", "init", *ports, who="coordinator")
    made.start("coordinator")
    try:
        yield made
    finally:
        made.stop()


def code(cluster: Cluster, who: str, *arguments: str) -> str:
    with pytest.raises(ParleyError) as caught:
        cluster.parley(*arguments, who=who)
    return caught.value.code


def invited(cluster: Cluster, name: str, *flags: str) -> str:
    return str(cluster.parley("coordinator", "invite", name, *flags, who="coordinator")["invite"])


def test_an_invite_is_good_once_and_for_its_name(cluster: Cluster) -> None:
    invite = invited(cluster, "bank")
    for who in ("bank", "shop"):
        cluster.parley("party", "init", who, who=who)
    assert code(cluster, "shop", "party", "join", invite) == "wrong_invite"
    cluster.parley("party", "join", invite, who="bank")
    assert code(cluster, "bank", "party", "join", invite) == "bad_invite"


def test_trust_needs_the_right_code(cluster: Cluster) -> None:
    for who in ("bank", "shop"):
        cluster.codes[who] = cluster.parley("party", "init", who, who=who)["code"]
        cluster.parley("party", "join", invited(cluster, who), who=who)
    person = cluster.parley("user", "init", invited(cluster, "ada", "--person"), who="ada")["code"]
    assert code(cluster, "bank", "party", "trust", "shop", cluster.codes["bank"]) == "code_mismatch"
    assert code(cluster, "bank", "party", "trust", "shopp", cluster.codes["shop"]) == "unknown_peer"
    assert code(cluster, "ada", "user", "trust", "shop", cluster.codes["bank"]) == "wrong_code"
    cluster.parley("party", "trust", "shop", cluster.codes["shop"], who="bank")
    cluster.parley("party", "trust", "--person", "ada", person, who="bank")
    cluster.parley("user", "trust", "shop", cluster.codes["shop"], who="ada")
    shown = cluster.parley("user", "show", who="ada")
    assert shown["pinned"] == {"shop": cluster.codes["shop"]}


def test_a_killed_coordinator_starts_again_and_remembers(cluster: Cluster) -> None:
    cluster.parley("party", "init", "bank", who="bank")
    cluster.parley("party", "join", invited(cluster, "bank"), who="bank")
    cluster.kill("coordinator")
    assert code(cluster, "coordinator", "coordinator", "invite", "shop") == "coordinator_unreachable"
    cluster.start("coordinator")
    status = cluster.parley("coordinator", "status", who="coordinator")
    assert [p["name"] for p in status["parties"]] == ["bank"]
    assert code(cluster, "coordinator", "coordinator", "start", "--detach") == "already_running"
    assert cluster.parley("coordinator", "stop", who="coordinator")["stopped"] is True
    assert cluster.parley("coordinator", "stop", who="coordinator")["stopped"] is False
