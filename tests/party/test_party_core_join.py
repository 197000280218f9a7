"""Joining and trusting against a real TLS server that plays the coordinator, honest and not."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party.doctor import checks, rest
from parley.party.home import PartyHome
from parley.party.identity import join, roster, trust
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.tls import KeyPair, issue_party, issue_server, new_authority, new_key, party_of, pin, request

TOKEN = "one-use-token-of-the-invite"


class Scripted(ThreadingHTTPServer):
    """Answers as the interface says; `certify_as` and `served` let it misbehave."""

    def __init__(self, folder: Path) -> None:
        self.authority: KeyPair = new_authority("test")
        self.served = self.authority.certificate
        self.issuer = self.authority
        self.certify_as = "bank"
        self.cards: list[str] = []
        self.tokens: list[str] = []
        super().__init__(("127.0.0.1", 0), Answers)
        key = new_key()
        (folder / "server.pem").write_bytes(key + issue_server(self.authority, request(key, "h"), ["127.0.0.1"]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses our certificate is what some tests are about."""

    def invite(self, name: str = "bank", **changed: str) -> str:
        url = f"https://127.0.0.1:{self.server_address[1]}"
        body = {"rest": url, "grpc": "127.0.0.1:1", "ca": pin(self.authority.certificate), "token": TOKEN, "name": name}
        return "parley-invite:" + base64.urlsafe_b64encode(json.dumps({**body, **changed}).encode()).decode()


class Answers(BaseHTTPRequestHandler):
    server: Scripted

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/v1/ca":
            self._say(200, self.server.served)
        elif self.path == "/v1/health":
            self._say(200, b"{}")
        elif self.headers.get("Authorization") != "Bearer own-bearer":
            self._json(401, {"error": ParleyError("unauthorised", "No.").to_dict()})
        else:
            self._json(200, {"cards": [*self.server.cards, "00ff"], "vouches": ["zz"]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.tokens.append(body["token"])
        if body["token"] != TOKEN:
            self._json(403, {"error": ParleyError("bad_token", "The invite was used before.").to_dict()})
            return
        issued = issue_party(self.server.issuer, body["csr"].encode(), self.server.certify_as)
        ca = self.server.authority.certificate.decode()
        answer = {"certificate": issued.decode(), "ca": ca, "grpc": "x:1", "coordinator": "c", "bearer": "own-bearer"}
        self._json(200, answer)

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._say(status, json.dumps(document).encode())

    def _say(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Scripted]:
    made = Scripted(tmp_path)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(timeout=5)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[PartyHome]:
    made = PartyHome.create(tmp_path / "home", "bank")
    yield made
    made.close()


def _card(name: str, kind: str = "party") -> Card:
    issue = {"party": "party", "person": "person"}[kind]
    return Card.issue(issue, name, SigningKey.generate(), StaticKey.generate().public)  # type: ignore[arg-type]  # literal


def _code(call: object, *args: object, **named: object) -> str:
    assert callable(call)
    with pytest.raises(ParleyError) as caught:
        call(*args, **named)
    return caught.value.code


def test_join_then_pin_by_code(home: PartyHome, server: Scripted) -> None:
    join(home, server.invite())
    assert party_of(home.tls().certificate) == "bank"
    assert home.authority == server.authority.certificate
    assert home.config.coordinator_grpc == "127.0.0.1:1"
    assert PartyHome.open(home.path).config.coordinator_rest == home.config.coordinator_rest
    telco, alice = _card("telco"), _card("alice", "person")
    server.cards = [home.card.to_text(), telco.to_text(), alice.to_text()]
    cards, vouches = roster(home)
    assert (len(cards), vouches) == (3, [])  # the unreadable ones are left out
    assert home.peers.believed("telco") is None
    assert _code(trust, home, "telco", _card("telco").short_code) == "code_mismatch"
    assert _code(trust, home, "telco", "????") == "bad_short_code"
    assert _code(trust, home, "telko", telco.short_code) == "unknown_peer"
    assert _code(trust, home, "alice", alice.short_code) == "unknown_peer"
    assert home.peers.believed("telco") is None
    trust(home, "telco", telco.short_code.lower().replace("-", " "))
    trust(home, "alice", alice.short_code, person=True)
    assert home.peers.believed("telco") is not None
    assert home.peers.person(alice.fingerprint) is not None
    assert [v.by for v in home.peers.own_vouches()] == ["bank"]


def test_the_token_goes_only_to_the_pinned_authoritys_server(home: PartyHome, server: Scripted) -> None:
    other = new_authority("other")
    # The server shows an authority that the invite does not pin.
    server.served = other.certificate
    assert _code(join, home, server.invite()) == "wrong_authority"
    # The authority is the pinned one, but the server's own certificate is not of it.
    assert _code(join, home, server.invite(ca=pin(other.certificate))) == "coordinator_unreachable"
    assert server.tokens == []
    assert not home.joined
    server.served = server.authority.certificate
    join(home, server.invite())
    assert server.tokens == [TOKEN]


def test_a_certificate_for_somebody_else_is_refused(home: PartyHome, server: Scripted) -> None:
    server.certify_as = "telco"
    assert _code(join, home, server.invite()) == "bad_certificate"
    server.certify_as, server.issuer = "bank", new_authority("other")
    assert _code(join, home, server.invite()) == "bad_certificate"
    assert not home.joined


def test_refusals_reach_the_operator(home: PartyHome, server: Scripted) -> None:
    assert _code(join, home, server.invite("telco")) == "wrong_invite"
    assert _code(join, home, server.invite(token="x" * 20)) == "bad_token"
    assert _code(roster, home) == "not_joined"
    assert _code(join, home, server.invite(rest="https://127.0.0.1:1")) == "coordinator_unreachable"


def test_the_doctor_looks_at_the_coordinator(
    home: PartyHome, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.party.doctor.TIMEOUT_S", 1.0)
    join(home, server.invite())
    found = {c.name: c for c in checks(home)}
    assert found["certificate"].ok
    assert found["rest"].ok
    assert found["clock"].ok
    assert not found["control link"].ok  # nobody serves it here
    slow = SimpleNamespace(time=lambda: time.time() - 3600)  # only the doctor's clock, not the server's
    monkeypatch.setattr("parley.party.doctor.time", slow)
    assert not next(c for c in rest(home) if c.name == "clock").ok
