"""`python -m parley.demo`: start everything, train across three parties, compare, write the page, check, stop."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from parley.demo.check import outcome_problems, process_problems
from parley.demo.cluster import Cluster
from parley.demo.tables import PARTIES, Shape, write
from parley.wire.errors import ParleyError

TIMEOUT_S = 600.0


def main() -> int:
    """Exit code 0 only if the job succeeded, matched the central model, and every trace of it is there."""
    options = _options()
    shape = Shape(rows=options.rows, trees=options.trees, key_bits=options.scheme_bits, scheme=options.scheme)
    if options.write_inputs:
        write(options.write_inputs, shape)
        return 0
    if options.check_outcome:
        return _check_file(options.check_outcome, shape)
    signal.signal(signal.SIGTERM, _interrupt)
    say: Callable[[str], None] = (lambda _: None) if options.quiet else _say
    folder: Path = options.folder
    cluster = Cluster(folder / "homes", say)
    try:
        return _run(cluster, folder, shape, options, say)
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except ParleyError as e:
        from parley.commands.common import show_error

        show_error(e, False)
        _say(f"The daemons' logs are in {cluster.root}/*/log")
        return 1
    finally:
        cluster.stop()
        if not options.keep:
            _say("Everything that was started has been stopped.")


def _run(cluster: Cluster, folder: Path, shape: Shape, options: argparse.Namespace, say: Callable[[str], None]) -> int:
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    files = write(folder / "inputs", shape)
    say(f"Three tables and a job are in {folder / 'inputs'}. What operators type:")
    cluster.build(files)
    say(f"Ready after {time.monotonic() - begun:.0f} s. What the data scientist types:")
    say(f"  {'scientist:':<12} $ parley job submit job.yaml --watch")
    outcome, contract, job = _submit(cluster, files["job"], options.quiet)
    from parley.demo.central import evaluation

    central = evaluation(files, shape)
    problems = outcome_problems(outcome, central) + process_problems(cluster.alive(), cluster.pids)
    problems += [f"{p} was not pinned by the scientist" for p, how in contract.items() if how != "pinned"]
    for party in PARTIES:
        cluster.parley("party", "ledger", outcome["id"], "--verify", who=party, show=False)
    page = job(folder / "report.html", central)
    (folder / "outcome.json").write_text(json.dumps(outcome, indent=1), encoding="utf-8")
    _summary(outcome, central, page, cluster, time.monotonic() - begun)
    for problem in problems:
        _say(f"NOT AS IT SHOULD BE: {problem}")
    if options.keep:
        _say("Daemons run until you press Enter.")
        sys.stdin.readline()
    return 1 if problems else 0


def _submit(
    cluster: Cluster, file: Path, quiet: bool
) -> tuple[dict[str, Any], dict[str, Any], Callable[[Path, dict[str, Any]], Path]]:
    """The finished job's view with results and egress, how each party's card was believed, and the page's writer."""
    from parley.client import Parley
    from parley.watch import follow

    parley = Parley(cluster.home("scientist"))
    job = parley.submit(file)
    view = follow(job.views(TIMEOUT_S), quiet=quiet)
    if view["state"] != "succeeded":
        raise ParleyError.from_dict(view.get("reason") or {"code": "job_failed", "cause": f"It ended {view['state']}."})
    outcome = {**view, "results": job.results(), "egress": job.egress()}
    title = "A credit model, trained across three parties"

    def page(path: Path, central: dict[str, Any]) -> Path:
        try:
            return job.report(path, central=central, title=title)
        finally:
            parley.close()

    return outcome, dict(job.contract.cards), page


def _summary(outcome: dict[str, Any], central: dict[str, Any], page: Path, cluster: Cluster, seconds: float) -> None:
    from parley.report.data import find_metrics

    _, m = find_metrics(outcome["results"])
    auc = f"{m['auc']:.4f}" if m and m.get("auc") is not None else "none"
    ks = f"{m['ks']:.4f}" if m and m.get("ks") is not None else "none"
    sent = sum(int(e["bytes"]) for e in outcome["egress"])
    _say("")
    _say(f"  federated  AUC {auc}   KS {ks}   on {central['aligned']:,} records in common")
    _say(f"  central    AUC {central['auc']:.4f}   KS {central['ks']:.4f}")
    _say(f"  {sent:,} bytes left the parties, each message on a ledger; {seconds:.0f} s in all")
    _say(f"  The page:  {page}")
    _say(f"  The homes: {cluster.root}")


def _check_file(path: Path, shape: Shape) -> int:
    """Check what `parley job submit --watch --json` wrote elsewhere, against a central model trained here."""
    import tempfile

    from parley.demo.central import evaluation

    outcome = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        central = evaluation(write(Path(folder), shape), shape)
    problems = outcome_problems(outcome, central)
    for problem in problems:
        _say(f"NOT AS IT SHOULD BE: {problem}")
    if not problems:
        _say(f"As it should be: AUC {central['auc']:.4f}, as from central training.")
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    default = Shape()
    parser = argparse.ArgumentParser(prog="python -m parley.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo"), help="where everything is put")
    parser.add_argument("--rows", type=int, default=default.rows, help="loans to use")
    parser.add_argument("--trees", type=int, default=default.trees)
    parser.add_argument("--scheme", default=default.scheme, choices=("paillier", "lattice"))
    parser.add_argument("--scheme-bits", type=int, default=default.key_bits, choices=(2048, 3072))
    parser.add_argument("--keep", action="store_true", help="keep the daemons until Enter is pressed")
    parser.add_argument("--quiet", action="store_true", help="say only how it ended")
    parser.add_argument("--write-inputs", type=Path, metavar="DIR", help="only write the tables and the job")
    parser.add_argument("--check-outcome", type=Path, metavar="FILE", help="only check a job's outcome")
    return parser.parse_args()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
