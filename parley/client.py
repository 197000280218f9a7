"""The SDK: submit jobs, follow them, read their results. Works the same in a script and in a notebook.

    from parley import Parley
    with Parley() as parley:
        job = parley.submit("job.yaml")
        job.wait(timeout=600)
        print(job.result("evaluate"))

Guarantee: a result is returned only when it opens with this person's key under a contract which is for exactly the
job this person signed and which every party of the job signed, and when its own party signed it under that contract.
Parties pinned with `parley user trust` are checked against the pin; for the others the signature is checked against
the card the coordinator shows, and `Job.contract` says which. Not guaranteed: that a party computed what it said.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    from parley.local import LocalOutcome
    from parley.plan import Plan
    from parley.rest import Rest
    from parley.user import UserHome
    from parley.wire.contract import Contract
    from parley.wire.identity import Card
    from parley.wire.jobspec import JobSpec

ENDED = ("succeeded", "failed", "cancelled", "planned")
POLL_S = 0.4


@dataclass(frozen=True)
class CheckedContract:
    """A contract whose signatures were verified, and against which card of each party."""

    contract: Contract
    cards: dict[str, Literal["pinned", "roster"]]
    fingerprints: dict[str, str]

    @property
    def hash(self) -> bytes:
        return self.contract.hash()

    def card(self, party: str) -> Card:
        """The card under which a party signed; its fingerprint was checked against `cards`. KeyError for no party."""
        from parley.wire.identity import Card

        return Card.from_text(self.contract.offers[party].card)


class Parley:
    """A person's connection to a coordinator; `home` defaults to PARLEY_HOME or ~/.parley/user."""

    def __init__(self, home: Path | str | None = None) -> None:
        from parley.user import UserHome

        self.home: UserHome = UserHome.open(Path(home) if home is not None else None)
        self.rest: Rest = self.home.rest()

    def __enter__(self) -> Parley:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Parley({self.home.name!r} at {self.home.address!r})"

    def close(self) -> None:
        self.rest.close()

    def submit(self, job: Path | str | Mapping[str, Any] | JobSpec) -> Job:
        """Check, sign and submit a job."""
        return self._send("/v1/jobs", _spec(job))

    def plan(self, job: Path | str | Mapping[str, Any] | JobSpec, *, timeout: float = 60.0) -> Plan:
        """Ask every party what it would say to the job, and count what would be sent; nothing is run."""
        from parley.plan import plan

        spec = _spec(job)
        dry = self._send("/v1/plan", spec)
        view = dry.wait(timeout=timeout)
        return plan(spec, view)

    def job(self, job_id: str) -> Job:
        return Job(self, job_id)

    def jobs(self, *, limit: int = 50, state: str | None = None) -> list[dict[str, Any]]:
        """This person's jobs, newest first."""
        found: list[dict[str, Any]] = _listed(self.rest.get("/v1/jobs", limit=limit, state=state), "jobs")
        return found

    def parties(self) -> list[dict[str, Any]]:
        return _listed(self.rest.get("/v1/parties"), "parties")

    @staticmethod
    def local(
        job: Path | str | Mapping[str, Any] | JobSpec, data: Mapping[str, Path | str], *, rows: int | None = None
    ) -> LocalOutcome:
        """Run every role in this process on local files, without daemons; see `parley.local`."""
        from parley.local import run

        return run(_spec(job), {p: Path(f) for p, f in data.items()}, rows=rows)

    def _send(self, path: str, spec: JobSpec) -> Job:
        from parley.wire.contract import sign_job

        signature = sign_job(self.home.sign_key, spec).hex()
        body = {
            "spec": spec.model_dump(mode="json", by_alias=True),
            "card": self.home.card.to_text(),
            "signature": signature,
        }
        # The same key on a repeated call after a lost answer gives the same job, never a second one.
        key = secrets.token_hex(16)
        try:
            answer = self.rest.post(path, body, key=key)
        except ParleyError as e:
            if e.code != "coordinator_unreachable":
                raise
            answer = self.rest.post(path, body, key=key)
        return Job(self, str(answer["job"]))


class Job:
    """One submitted job."""

    def __init__(self, parley: Parley, job_id: str) -> None:
        self._parley = parley
        self.id = job_id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self) -> dict[str, Any]:
        """The job as the coordinator sees it: state, steps, progress, reason."""
        view: dict[str, Any] = self._parley.rest.get(f"/v1/jobs/{self.id}")
        return view

    def views(self, timeout: float = 86_400.0) -> Iterator[dict[str, Any]]:
        """The status again and again until the job has ended; a coordinator that restarts is waited for."""
        end = time.monotonic() + timeout
        failures = 0
        while True:
            try:
                view = self.status()
                failures = 0
            except ParleyError as e:
                failures += 1
                if e.code != "coordinator_unreachable" or failures > 120 or time.monotonic() > end:
                    raise
                time.sleep(0.5)
                continue
            yield view
            if view["state"] in ENDED:
                return
            if time.monotonic() > end:
                raise ParleyError(
                    "still_running", f"Job {self.id} has not ended after {timeout:.0f} s.", "It goes on; wait again."
                )
            time.sleep(POLL_S)

    def wait(self, timeout: float = 86_400.0) -> dict[str, Any]:
        """The final status; ParleyError `still_running` after `timeout` seconds."""
        view: dict[str, Any] = {}
        for seen in self.views(timeout):
            view = seen
        return view

    def watch(self, timeout: float = 86_400.0) -> dict[str, Any]:
        """Follow the job on the terminal; returns the final status."""
        from parley.watch import follow

        return follow(self.views(timeout))

    def cancel(self, reason: str = "") -> None:
        self._parley.rest.post(f"/v1/jobs/{self.id}/cancel", {"reason": reason} if reason else {})

    def egress(self) -> list[dict[str, Any]]:
        """What each party's own ledger says left it: party, step, attempt, to, tag, disclosure, messages, bytes."""
        return _listed(self._parley.rest.get(f"/v1/jobs/{self.id}/egress"), "egress")

    @cached_property
    def contract(self) -> CheckedContract:
        """The signed contract, verified; ParleyError `bad_contract`, `bad_contract_signature`, `unpinned_peer`."""
        from parley.verify import check_contract

        answer = self._parley.rest.get(f"/v1/jobs/{self.id}/contract")
        return check_contract(self._parley.home, self.id, answer)

    def results(self) -> dict[str, dict[str, Any]]:
        """step -> party -> result, of each step's last attempt.

        ParleyError `bad_result` for a box that does not open under the verified contract, and `bad_result_signature`
        for one that its party, by the card in that contract, did not sign for this step and attempt.
        """
        blobs = _listed(self._parley.rest.get(f"/v1/jobs/{self.id}/results"), "results")
        out: dict[str, dict[str, Any]] = {}
        for blob in sorted(blobs, key=lambda b: int(b["attempt"])):
            out.setdefault(str(blob["step"]), {})[str(blob["party"])] = self._opened(blob)
        return out

    def _opened(self, blob: Mapping[str, Any]) -> dict[str, Any]:
        from parley.crypto.box import open_box
        from parley.crypto.errors import CryptoError
        from parley.wire.result import open_result

        party, step, digest = str(blob["party"]), str(blob["step"]), self.contract.hash
        try:
            card = self.contract.card(party)
            plaintext = open_box(self._parley.home.seal_key, base64.b64decode(blob["sealed"], validate=True), digest)
        except (CryptoError, ValueError, KeyError):
            raise ParleyError(
                "bad_result",
                "A result does not open under the contract that this job was signed with.",
                "The coordinator or the party changed it; ask the party for its log.",
                party=party,
                step=step,
            ) from None
        return open_result(plaintext, card, digest, step, int(blob["attempt"]))

    def result(self, step: str) -> dict[str, Any]:
        """One step's result; a mapping by party when several parties gave one. ParleyError `no_result`."""
        by_party = {p: r for p, r in self.results().get(step, {}).items() if r}
        if not by_party:
            raise ParleyError("no_result", f"Step {step} left no result.", "Look at the job's status.", step=step)
        return dict(next(iter(by_party.values()))) if len(by_party) == 1 else by_party

    def report(self, path: Path | str, *, central: Mapping[str, Any] | None = None, title: str = "") -> Path:
        """Write the job's page, one self-contained HTML file; `central` is an evaluation to show beside it."""
        from parley.report import page, report_data

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(report_data(self, central=central, title=title)), encoding="utf-8")
        return target


def _spec(job: Path | str | Mapping[str, Any] | JobSpec) -> JobSpec:
    from parley.jobfile import check, load
    from parley.wire.jobspec import JobSpec

    if isinstance(job, JobSpec):
        return check(job.model_dump(mode="json", by_alias=True))
    return load(job)


def _listed(answer: Any, key: str) -> list[dict[str, Any]]:
    return list(answer[key] if isinstance(answer, dict) else answer)
