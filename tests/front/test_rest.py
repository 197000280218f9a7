"""The REST client: the pinned authority, errors as the coordinator sent them, lost answers."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from parley.party.enrol import fetch_authority
from parley.rest import Rest
from parley.user import UserHome
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.invite import Invite


class Handler(BaseHTTPRequestHandler):
    """Answers with what the test planted, and notes what it was asked."""

    def _answer(self) -> None:
        world: Any = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        world.asked.append((self.command, self.path, dict(self.headers), body))
        status, raw = world.answers.get(self.path, (404, b'{"detail": "no"}'))
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if raw[:1] in (b"{", b"[") else "text/plain")
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def world() -> Iterator[Any]:
    yield from _serve()


@pytest.fixture
def stranger() -> Iterator[Any]:
    yield from _serve()


def _serve() -> Iterator[Any]:
    authority, key = tls.new_authority("test"), tls.new_key()
    certificate = tls.issue_server(authority, tls.request(key, "127.0.0.1"), ["127.0.0.1"])
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "pair.pem"
        pair.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.asked, server.ca = [], authority.certificate
    server.answers = {"/v1/ca": (200, authority.certificate)}
    server.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def invite(server: Any, pin: str) -> str:
    fields = {"rest": server.url, "grpc": "127.0.0.1:1", "ca": pin, "token": "t" * 32, "name": "ada"}
    return "parley-invite:" + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def test_a_person_enrols_and_the_keys_stay_here(world: Any, tmp_path: Path) -> None:
    world.answers["/v1/enrol"] = (200, json.dumps({"bearer": "b" * 43}).encode())
    home = UserHome.enrol(tmp_path / "ada", invite(world, tls.pin(world.ca)))
    _, _, _, body = next(a for a in world.asked if a[1] == "/v1/enrol")
    assert json.loads(body)["card"] == home.card.to_text()
    assert (home.path.stat().st_mode & 0o777) == 0o700
    secrets = (home.sign_key.to_bytes(), home.seal_key.to_bytes(), b"b" * 43)
    for path in home.path.rglob("*"):
        if path.is_file():
            assert not any(s in path.read_bytes() or s.hex().encode() in path.read_bytes() for s in secrets)
    assert UserHome.open(home.path).card.fingerprint == home.card.fingerprint
    with pytest.raises(ParleyError) as caught:
        UserHome.enrol(home.path, invite(world, tls.pin(world.ca)))
    assert caught.value.code == "home_exists"


def test_an_authority_that_is_not_the_pinned_one_is_refused_before_anything_is_sent(world: Any, stranger: Any) -> None:
    with pytest.raises(ParleyError) as caught:
        fetch_authority(Invite.from_text(invite(stranger, tls.pin(world.ca))))
    assert caught.value.code == "wrong_authority"
    assert [a[1] for a in stranger.asked] == ["/v1/ca"]


def test_a_server_of_another_authority_never_sees_the_token(world: Any, stranger: Any) -> None:
    rest = Rest(stranger.url, world.ca.decode(), "secret-token")
    with pytest.raises(ParleyError) as caught:
        rest.get("/v1/health")
    assert caught.value.code == "wrong_authority"
    assert stranger.asked == []


def test_the_coordinators_error_arrives_whole(world: Any) -> None:
    told = ParleyError("party_offline", "telco is away.", "Ask telco.", party="telco", step="train")
    world.answers["/v1/jobs"] = (409, json.dumps({"error": told.to_dict()}).encode())
    world.answers["/v1/odd"] = (502, b"<html>bad gateway</html>")
    rest = Rest(world.url, world.ca.decode(), "b")
    with pytest.raises(ParleyError) as caught:
        rest.post("/v1/jobs", {})
    assert caught.value.to_dict() == told.to_dict()
    with pytest.raises(ParleyError) as odd:
        rest.get("/v1/odd")
    assert odd.value.code == "http_error"


def test_nobody_there_is_told(world: Any) -> None:
    rest = Rest("https://127.0.0.1:9", world.ca.decode())
    with pytest.raises(ParleyError) as caught:
        rest.get("/v1/health")
    assert (caught.value.code, caught.value.retryable) == ("coordinator_unreachable", True)


def test_a_party_is_pinned_only_by_its_code(world: Any, tmp_path: Path) -> None:
    from parley.crypto.seal import StaticKey
    from parley.crypto.sign import SigningKey
    from parley.wire.identity import Card

    world.answers["/v1/enrol"] = (200, json.dumps({"bearer": "b" * 43}).encode())
    card = Card.issue("party", "bank", SigningKey.generate(), StaticKey.generate().public)
    other = Card.issue("party", "bank", SigningKey.generate(), StaticKey.generate().public)
    world.answers["/v1/roster"] = (200, json.dumps({"cards": [card.to_text()], "vouches": []}).encode())
    home = UserHome.enrol(tmp_path / "ada", invite(world, tls.pin(world.ca)))
    for code, problem in ((other.short_code, "wrong_code"), ("x", "bad_code")):
        with pytest.raises(ParleyError) as caught:
            home.trust("bank", code)
        assert caught.value.code == problem
    assert home.pinned() == {}
    home.trust("bank", card.short_code.lower())
    assert UserHome.open(home.path).pinned()["bank"].fingerprint == card.fingerprint
