"""Every protocol by name, loaded when asked for, and their declarations as the record that `wire` carries.

`python -m parley.protocols.registry --export` writes the record; `--check` compares it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from parley.protocols.kit.protocol import Protocol
from parley.wire.declaration import Declaration
from parley.wire.errors import ParleyError, did_you_mean

PROTOCOLS: dict[str, tuple[str, str]] = {
    "evaluate": ("parley.protocols.evaluate.metrics", "EVALUATE"),
    "gbdt/explain": ("parley.protocols.gbdt.explain", "EXPLAIN"),
    "gbdt/predict": ("parley.protocols.gbdt.predict", "PREDICT"),
    "gbdt/score": ("parley.protocols.gbdt.predict_jobs", "SCORE"),
    "gbdt/vertical": ("parley.protocols.gbdt.jobs", "VERTICAL"),
    "kmeans/vertical": ("parley.protocols.cluster.jobs", "KMEANS"),
    "nn/predict": ("parley.protocols.nn.predict", "PREDICT"),
    "nn/split": ("parley.protocols.nn.jobs", "SPLIT"),
    "prep/encode": ("parley.protocols.prep.encode", "ENCODE"),
    "prep/folds": ("parley.protocols.prep.folds", "FOLDS"),
    "prep/impute": ("parley.protocols.prep.impute", "IMPUTE"),
    "prep/sample": ("parley.protocols.prep.sample", "SAMPLE"),
    "prep/scale": ("parley.protocols.prep.scale", "SCALE"),
    "prep/select": ("parley.protocols.prep.select", "SELECT"),
    "prep/split": ("parley.protocols.prep.split", "SPLIT"),
    "prep/transform": ("parley.protocols.prep.transform", "TRANSFORM"),
    "prep/union": ("parley.protocols.prep.union", "UNION"),
    "psi/cardinality": ("parley.protocols.psi.cardinality", "CARDINALITY"),
    "linear/predict": ("parley.protocols.linear.predict", "PREDICT"),
    "linear/vertical": ("parley.protocols.linear.jobs", "VERTICAL"),
    "psi/ecdh": ("parley.protocols.psi.ecdh", "ECDH"),
    "psi/lookup": ("parley.protocols.psi.lookup", "LOOKUP"),
    "psi/multi": ("parley.protocols.psi.multi", "MULTI"),
    "psi/sum": ("parley.protocols.psi.sum", "SUM"),
    "psi/vole": ("parley.protocols.psi.vole", "VOLE"),
    "score/card": ("parley.protocols.evaluate.card", "CARD"),
    "stats/correlation": ("parley.protocols.stats.correlation_jobs", "CORRELATION"),
    "stats/stability": ("parley.protocols.stats.stability", "STABILITY"),
    "stats/summary": ("parley.protocols.stats.summary", "SUMMARY"),
    "stats/woe": ("parley.protocols.stats.woe_jobs", "WOE"),
}


def names() -> tuple[str, ...]:
    """The protocols there are, sorted."""
    return tuple(sorted(PROTOCOLS))


def load(name: str) -> Protocol:
    """The protocol of that name; ParleyError "unknown_protocol" with a did-you-mean."""
    if name not in PROTOCOLS:
        hint = did_you_mean(name, PROTOCOLS, "See `parley protocols list`.")
        raise ParleyError("unknown_protocol", f"There is no protocol {name[:80]}.", hint)
    module, attribute = PROTOCOLS[name]
    protocol = getattr(importlib.import_module(module), attribute)
    assert isinstance(protocol, Protocol)
    return protocol


def declarations() -> dict[str, Declaration]:
    """What each protocol declares, from the code at hand."""
    return {name: load(name).declaration() for name in names()}


def exported() -> str:
    """The record as JSON text: each declaration and its hash, by name."""
    record = {
        name: {"hash": d.hash().hex(), "declaration": d.model_dump(mode="json")} for name, d in declarations().items()
    }
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def record_path() -> Path:
    """Where the record lies: beside the code of `wire`."""
    from parley import wire

    return Path(str(wire.__file__)).resolve().parent / "declarations.json"


def main(arguments: list[str] | None = None) -> int:
    """Write or compare the record; 1 when it differs."""
    parser = argparse.ArgumentParser(description="The declarations of all protocols, as a record.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--export", action="store_true", help="write the record")
    action.add_argument("--check", action="store_true", help="fail when the record differs from the code")
    if parser.parse_args(arguments).export:
        record_path().write_text(exported(), encoding="utf-8")
        return 0
    return 0 if record_path().read_text(encoding="utf-8") == exported() else 1


if __name__ == "__main__":
    sys.exit(main())
