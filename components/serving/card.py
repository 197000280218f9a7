"""A model card: what the model is, from which job and data it came, how good it is, and who holds which part.

The facts come from the contract that every party signed and from this party's own records; the card says nothing of a
row. It is kept as JSON for programs and shown as Markdown for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from parley.components.errors import DataError

_VERSION = 1


@dataclass(frozen=True)
class Held:
    """What one party of the training brought, and which part of the model it holds; commitments are hiding."""

    party: str
    fingerprint: str
    role: str
    part: str
    software: str
    dataset: str = ""
    snapshot: int | None = None
    rows: int | None = None
    columns: int | None = None
    commitment: str = ""


@dataclass(frozen=True)
class ModelCard:
    """The facts; `metrics` by part of the rows are single numbers that this party measured on its own labels."""

    party: str
    job: str
    step: str
    name: str
    purpose: str
    protocol: str
    code: str
    contract: str
    submitter: str
    software: str
    kind: str
    parameters: dict[str, Any]
    holders: tuple[Held, ...]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    prepared: tuple[str, ...] = ()
    version: int = _VERSION

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelCard:
        """The inverse; DataError `bad_model_card` for anything else."""
        try:
            holders = tuple(Held(**h) for h in record["holders"])
            card = cls(**{**record, "holders": holders, "prepared": tuple(record["prepared"])})
        except (KeyError, TypeError):
            raise DataError("bad_model_card", "the model card is damaged or of another version") from None
        if card.version != _VERSION:
            raise DataError("bad_model_card", f"the model card has version {card.version}", "use a newer software")
        return card

    def markdown(self) -> str:
        """The card for people."""
        facts = [
            ("purpose", self.purpose),
            ("what this is", self.kind),
            ("held by", self.party),
            ("job and step", f"`{self.job}`, {self.step}"),
            ("trained with", f"{self.protocol}, code `{self.code}`"),
            ("contract", f"`{self.contract}`"),
            ("submitted by", self.submitter),
            ("software", self.software),
            ("columns first go through", ", ".join(self.prepared) or "nothing"),
        ]
        lines = [f"# {_text(self.name)}: {_text(self.step)}", ""]
        lines += [f"- **{k}:** {_text(v)}" for k, v in facts]
        lines += ["", "## Who holds what", "", *self._holders(), ""]
        lines += ["## Parameters", "", *_table(("parameter", "value"), sorted(self.parameters.items())), ""]
        lines += ["## Measures", "", *self._measures(), "", "## What it is not", "", _NOT, ""]
        return "\n".join(lines)

    def _holders(self) -> list[str]:
        rows = [
            (
                h.party,
                h.role,
                h.part,
                h.dataset or "none",
                "" if h.rows is None else f"up to {h.rows:,}",
                h.commitment[:16],
            )
            for h in self.holders
        ]
        return _table(("party", "role", "part of the model", "dataset", "rows", "commitment"), rows)

    def _measures(self) -> list[str]:
        if not self.metrics:
            return ["This party holds no labels; the label party's card has the measures."]
        names = sorted({n for m in self.metrics.values() for n in m})
        rows = [(n, *(f"{m[n]:.6g}" if n in m else "" for m in self.metrics.values())) for n in names]
        return _table(("measure", *self.metrics), rows)


_NOT = (
    "One party's part of a model: it scores nothing by itself unless this party held every feature. It was measured on "
    "the rows of its own training job; look at drift before using it on others."
)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    titles = [_text(h) for h in head]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return lines + ["| " + " | ".join(_text(c).replace("|", "\\|") for c in row) + " |" for row in rows]


def _text(value: object) -> str:
    """One line without anything that Markdown or HTML reads as markup of its own."""
    return " ".join(str(value).split()).replace("<", "&lt;")
