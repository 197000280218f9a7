"""The application: routes, authentication, limits, and errors as people read them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError

from parley.coordinator.api import models as m
from parley.coordinator.drivers.hub import Hub
from parley.coordinator.store import people, submit, views
from parley.coordinator.store.people import Caller
from parley.wire import tls
from parley.wire.contract import verify_job
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.invite import Invite
from parley.wire.jobspec import JobSpec

MAX_BODY = 1 << 20
STATUS = {
    "unauthorized": 401,
    "forbidden": 403,
    "bad_invite": 403,
    "unknown_job": 404,
    "already_ended": 409,
    "idempotency_conflict": 409,
    "name_taken": 409,
    "too_large": 413,
    "queue_full": 429,
    "database_unavailable": 503,
}


@dataclass(frozen=True)
class Site:
    """What the API knows of its own process."""

    hub: Hub
    authority: tls.KeyPair
    rest: str
    grpc: str


def create_app(site: Site) -> FastAPI:
    app = FastAPI(title="Parley coordinator", version=site.hub.version, docs_url=None, redoc_url=None)
    app.state.site = site
    app.middleware("http")(_limit)
    app.add_exception_handler(ParleyError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    _open_routes(app, site)
    _invite_routes(app, site)
    _people_routes(app, site)
    _job_routes(app, site)
    _progress_routes(app, site)
    _outcome_routes(app, site)
    return app


async def _limit(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    length = request.headers.get("content-length", "0")
    chunked = "transfer-encoding" in request.headers
    if chunked or not length.isdigit() or int(length) > MAX_BODY:
        return _answer(ParleyError("too_large", f"A request body has a stated length of at most {MAX_BODY} bytes."))
    return await call(request)


def _answer(problem: ParleyError) -> JSONResponse:
    return JSONResponse({"error": problem.to_dict()}, STATUS.get(problem.code, 400))


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ParleyError)
    return _answer(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(p) for p in first["loc"] if p != "body")
    return _answer(ParleyError("bad_request", f"{where or 'request'}: {first['msg']}."))


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise people.unauthorized()
    return token


async def _caller(request: Request, authorization: Annotated[str, Header()] = "") -> Caller:
    hub: Hub = request.app.state.site.hub
    return await hub.store(people.caller, hub.db, _bearer(authorization))


Who = Annotated[Caller, Depends(_caller)]


def _only(caller: Caller, *roles: str) -> None:
    if caller.role not in roles:
        raise ParleyError("forbidden", f"This needs the role {' or '.join(roles)}.", "Use another token.")


async def _own(hub: Hub, caller: Caller, job: str) -> None:
    """An admin sees every job, a person their own; to others a job does not exist."""
    _only(caller, "admin", "person")
    owner = await hub.store(views.owner, hub.db, job)
    if caller.role == "person" and owner != caller.name:
        raise ParleyError("unknown_job", "There is no such job here.", "`parley job list` shows the jobs you may see.")


# ---------------------------------------------------------------- anybody


def _open_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    @app.get("/v1/health")
    async def health() -> m.HealthOut:
        return m.HealthOut(status="ok", coordinator=hub.name, version=hub.version)

    @app.get("/v1/ca", response_class=PlainTextResponse)
    async def ca() -> str:
        """The certificate authority (PEM); an invite pins it."""
        return site.authority.certificate.decode()

    @app.post("/v1/enrol")
    async def enrol(body: m.EnrolIn) -> m.EnrolOut:
        """Use an invite once: a card is enrolled, a party gets a certificate, everybody a bearer token."""
        card = Card.from_text(body.card)
        name, kind = await hub.store(people.invited, hub.db, body.token)
        if (card.name, card.body.kind) != (name, kind):
            raise people.bad_invite()
        certificate, certified = None, None
        if kind == "party":
            if body.csr is None:
                raise ParleyError("bad_request", "A party enrols with a certificate request.")
            certificate = tls.issue_party(site.authority, body.csr.encode(), name)
            certified = people.Certified(tls.serial(certificate), tls.expires(certificate).timestamp())
        bearer = await hub.store(people.enrol, hub.db, body.token, card, certified)
        return m.EnrolOut(
            certificate=certificate.decode() if certificate else None,
            ca=site.authority.certificate.decode(),
            grpc=site.grpc,
            coordinator=hub.name,
            bearer=bearer,
        )


# ---------------------------------------------------------------- people and parties


def _invite_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    @app.post("/v1/invites", status_code=201)
    async def invite(body: m.InviteIn, who: Who) -> m.InviteOut:
        """One line to paste: it lets its holder reach this coordinator once, within seven days."""
        _only(who, "admin")
        token = await hub.store(people.invite, hub.db, body.name, body.kind)
        made = Invite(
            rest=site.rest, grpc=site.grpc, ca=tls.pin(site.authority.certificate), token=token, name=body.name
        )
        return m.InviteOut(invite=made.to_text())


def _people_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    @app.get("/v1/roster")
    async def roster(who: Who) -> m.RosterOut:
        """Every card and vouch, for its reader to verify."""
        found = await hub.store(people.roster, hub.db)
        return m.RosterOut(
            cards=[c.SerializeToString().hex() for c in found.cards],
            vouches=[v.SerializeToString().hex() for v in found.vouches],
        )

    @app.get("/v1/parties")
    async def parties(who: Who) -> list[m.PartyOut]:
        online = hub.online()
        return [
            m.PartyOut(
                name=c.name,
                fingerprint=c.fingerprint,
                online=c.name in online,
                last_seen=c.last_seen,
                version=c.version,
                capacity=c.capacity,
            )
            for c in await hub.store(people.parties, hub.db)
        ]

    @app.post("/v1/parties/{name}/revoke")
    async def revoke(name: str, who: Who) -> dict[str, int]:
        """End a party's certificates and tokens, and its link."""
        _only(who, "admin")
        return {"revoked": await hub.store(people.revoke, hub.db, name)}


# ---------------------------------------------------------------- jobs


def _job_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    async def accept(body: m.JobIn, who: Caller, key: str | None, *, dry_run: bool) -> tuple[str, bool]:
        _only(who, "person")
        submission = _verified(body, key, dry_run)
        if submission.submitter.name != who.name:
            raise ParleyError("forbidden", "The job names another submitter than the token.", "Use your own token.")
        return await hub.store(submit.submit, hub.db, submission, list(hub.online()))

    @app.post("/v1/jobs", status_code=201)
    async def create(body: m.JobIn, who: Who, idempotency_key: Annotated[str | None, Header()] = None) -> m.JobOut:
        """Submit a signed job. The same Idempotency-Key with the same request gives the same job."""
        job, _ = await accept(body, who, idempotency_key, dry_run=False)
        return m.JobOut(job=job)

    @app.post("/v1/plan", status_code=201)
    async def plan(body: m.JobIn, who: Who) -> m.JobOut:
        """Ask every party for its offer or its refusal, and run nothing."""
        job, _ = await accept(body, who, None, dry_run=True)
        return m.JobOut(job=job)

    @app.post("/v1/jobs/{job}/cancel")
    async def cancel(job: str, body: m.CancelIn, who: Who) -> dict[str, str]:
        await _own(hub, who, job)
        return {"state": await hub.store(submit.cancel, hub.db, job, body.reason or f"Cancelled by {who.name}.")}

    @app.get("/v1/jobs")
    async def listing(
        who: Who, state: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> list[dict[str, Any]]:
        _only(who, "admin", "person")
        mine = who.name if who.role == "person" else None
        return await hub.store(views.listing, hub.db, mine, state, limit)


def _verified(body: m.JobIn, key: str | None, dry_run: bool) -> submit.Submission:
    """ParleyError "bad_job" or "bad_submitter_signature" unless the person on the card signed exactly this job."""
    try:
        spec = JobSpec.model_validate(body.spec)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "job"
        raise ParleyError("bad_job", f"{where}: {first['msg']}.", "`parley job plan` checks a job file.") from None
    card = Card.from_text(body.card)
    try:
        signature = bytes.fromhex(body.signature)
    except ValueError:
        signature = b""
    verify_job(spec, card, signature)
    covered = hashlib.sha256(spec.canonical() + bytes([dry_run]) + card.fingerprint.encode()).hexdigest()
    return submit.Submission(spec, card, signature, dry_run, key[:200] if key else None, covered)


def _progress_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    @app.get("/v1/jobs/{job}")
    async def detail(job: str, who: Who) -> dict[str, Any]:
        await _own(hub, who, job)
        found = await hub.store(views.detail, hub.db, job)
        for step in found["steps"]:
            step["progress"] = hub.progress.get((job, step["name"], step["attempt"]), {})
        return found

    @app.get("/v1/jobs/{job}/events")
    async def events(
        job: str,
        who: Who,
        after: Annotated[int, Query(ge=0)] = 0,
        wait: Annotated[float, Query(ge=0, le=30)] = 0,
    ) -> dict[str, Any]:
        """Events after number `after`; with `wait`, up to that many seconds until there is one."""
        await _own(hub, who, job)
        until = hub.now() + wait
        while True:
            changed = hub.change_of(job)  # taken before the look, so that nothing in between is missed
            found = await hub.store(views.events, hub.db, job, after)
            left = until - hub.now()
            if found["events"] or views.ended(found["state"]) or left <= 0:
                return found
            with contextlib.suppress(TimeoutError):  # progress wakes it, too, and is no event
                await asyncio.wait_for(changed.wait(), left)


def _outcome_routes(app: FastAPI, site: Site) -> None:
    hub = site.hub

    @app.get("/v1/jobs/{job}/results")
    async def results(job: str, who: Who) -> list[dict[str, Any]]:
        """Sealed blobs; only their reader's key opens them."""
        await _own(hub, who, job)
        return await hub.store(views.results, hub.db, job)

    @app.get("/v1/jobs/{job}/egress")
    async def egress(job: str, who: Who) -> list[dict[str, Any]]:
        """What each party's ledger says it sent."""
        await _own(hub, who, job)
        return await hub.store(views.egress, hub.db, job)

    @app.get("/v1/jobs/{job}/contract")
    async def contract(job: str, who: Who) -> dict[str, Any]:
        await _own(hub, who, job)
        return await hub.store(views.contract, hub.db, job)
