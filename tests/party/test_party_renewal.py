"""A certificate past two thirds of its life: the next one comes over the link, and everything goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest
from coordinated import World, play
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from runtime_world import free_port

from parley.party import doctor
from parley.party.home import PartyHome
from parley.party.runtime import daemon, renewal
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

ISSUED = dt.datetime.now(dt.UTC) - dt.timedelta(days=tls.CERT_DAYS * 2 / 3 + 1)


@pytest.fixture
def ageing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first certificate of each party is 61 days old at its issue; the names whose was issued, in order."""
    issued: list[str] = []
    real = tls.issue_party

    def issue(authority: tls.KeyPair, csr: bytes, name: str) -> bytes:
        issued.append(name)
        return real(authority, csr, name, now=ISSUED if issued.count(name) == 1 else None)

    monkeypatch.setattr(tls, "issue_party", issue)
    monkeypatch.setattr("parley.coordinator.store.people.issue_party", issue)
    return issued


async def renewed(w: World) -> None:
    async with asyncio.timeout(20):
        while any(tls.due(h.tls().certificate) for h in w.homes.values()):
            await asyncio.sleep(0.05)


def test_it_is_time_from_two_thirds_of_its_life_on() -> None:
    ca, key = tls.new_authority("c"), tls.new_key()
    pem = tls.issue_party(ca, tls.request(key, "bank"), "bank")
    now = dt.datetime.now(dt.UTC)
    assert not tls.due(pem, now + dt.timedelta(days=59))
    assert tls.due(pem, now + dt.timedelta(days=61))


def test_parties_renew_by_themselves_and_go_on_with_the_new_certificate(tmp_path: Path, ageing: list[str]) -> None:
    async def story(w: World) -> None:
        await renewed(w)
        first = {n: (h.card.fingerprint, tls.serial(h.tls().certificate)) for n, h in w.homes.items()}
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert sorted(ageing) == ["bank", "bank", "shop", "shop"]  # once each, and not again
        for name, home in w.homes.items():
            assert first[name] == (home.card.fingerprint, tls.serial(home.tls().certificate))
            assert doctor.certificate(home.tls().certificate).ok
            assert json.loads((home.path / daemon.STATUS).read_bytes())["renewal"] is None

    play(tmp_path, story)


def test_a_listener_shows_its_new_certificate_without_a_restart(tmp_path: Path, ageing: list[str]) -> None:
    async def story(w: World) -> None:
        await renewed(w)
        host, _, port = str(w.homes["bank"].config.listen).rpartition(":")
        shown = await asyncio.to_thread(_shown, host, int(port), w.homes["shop"])
        assert shown == tls.serial(w.homes["bank"].tls().certificate)
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert (await w.contract(view["id"])).direct == (("shop", "bank"),)

    def listening(w: World) -> None:
        address = f"127.0.0.1:{free_port()}"
        w.homes["bank"].config.listen, w.homes["bank"].config.accepts_from = address, ["shop"]
        w.homes["shop"].config.routes = {"bank": address}

    play(tmp_path, story, listening)


def _shown(host: str, port: int, home: PartyHome) -> str:
    """The serial number of the certificate that a TLS server at this address shows."""
    import socket
    import ssl

    pair = home.path / "pair.pem"
    pair.write_bytes(home.tls().key + home.tls().certificate)
    context = ssl.create_default_context(cadata=home.authority.decode())
    context.load_cert_chain(pair)
    context.set_alpn_protocols(["h2"])
    name = tls.party_host("bank")
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as s,
    ):
        der = s.getpeercert(binary_form=True)
    assert der is not None
    return tls.serial(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM))


def test_a_renewal_that_fails_is_seen_by_the_doctor_and_the_party_goes_on(
    tmp_path: Path, ageing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "renewal", lambda name, csr: b"something else")

    async def story(w: World) -> None:
        async with asyncio.timeout(20):
            while "signed" not in (said := doctor.renewal_failure(w.homes["bank"])):
                await asyncio.sleep(0.05)
        check = doctor.certificate(w.homes["bank"].tls().certificate, failed=said)
        assert (check.ok, check.detail) == (
            False,
            "28 days left, and not renewed: The renewal is not signed with the identity that bank enrolled.",
        )
        assert (await w.ended())["state"] == "succeeded"
        assert sorted(ageing) == ["bank", "shop"]

    play(tmp_path, story)


def test_only_a_certificate_for_the_key_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    home, ca, key = PartyHome.create(tmp_path / "bank", "bank"), tls.new_authority("c"), tls.new_key()
    old = tls.issue_party(ca, tls.request(key, "bank"), "bank", now=ISSUED)
    home.set_membership(tls.KeyPair(key, old), ca.certificate, "bearer")
    asking = renewal.Renewal(home)
    event = asking.ask()
    assert event is not None
    assert asking.ask() is None  # not again at once
    assert asking.problem is not None
    csr, other = event.renew.csr, tls.new_authority("other")
    wrong = [
        pb.Certificate(pem=tls.issue_party(ca, tls.request(key, "bank"), "bank")),
        pb.Certificate(pem=tls.issue_party(ca, csr, "mill")),
        pb.Certificate(pem=tls.issue_party(other, csr, "bank")),
        pb.Certificate(pem=b"nothing"),
        pb.Certificate(problem=pb.Problem(json=b"{")),
    ]
    for answer in wrong:
        assert not asking.take(answer)
        assert isinstance(asking.problem, ParleyError)
        assert home.tls().certificate == old
    new = tls.issue_party(ca, csr, "bank")
    assert asking.take(pb.Certificate(pem=new))
    assert (home.tls().certificate, home.bearer, asking.problem) == (new, "bearer", None)
    assert not asking.take(pb.Certificate(pem=new))  # nobody asked for a second one
    assert (asking._next, home.tls().certificate) != (0.0, old)
    home.close()
