"""The report page: complete, self-contained, and safe against hostile names."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from parley.report import ReportData, page
from parley.report.data import PartyLine, find_importance, find_metrics

METRICS = {"auc": 0.7912, "ks": 0.4411, "rows": 100, "roc": {"fpr": [0.0, 0.2, 1.0], "tpr": [0.0, 0.7, 1.0]}}
DATA = ReportData(
    title="A credit model",
    purpose="Estimate risk.",
    job="j1",
    state="succeeded",
    reason="",
    contract="ab" * 32,
    submitter="ada",
    seconds=12.5,
    steps=[
        {"name": "train", "uses": "gbdt/vertical", "parties": ["a"], "state": "done", "attempt": 1, "seconds": 3}
    ],
    parties=[PartyLine("lender", "cd" * 32, "pinned", 9900, "0.1.0")],
    egress=[
        {"party": "lender", "step": "train", "attempt": 1, "to": "bureau", "tag": "gbdt.gradients/1",
         "disclosure": "encrypted_gradients", "messages": 3, "bytes": 1234567},
        {"party": "bureau", "step": "train", "attempt": 1, "to": "lender", "tag": "x.rows/1", "disclosure": "rows",
         "messages": 1, "bytes": 7},
    ],
    metrics=METRICS,
    metrics_of="all",
    central={**METRICS, "auc": 0.7915},
    importance=[("bureau", "revol_util", 12.0), ("lender", "int_rate", 30.0)],
)  # fmt: skip


class Balanced(HTMLParser):
    """Fails when tags do not nest."""

    VOID = frozenset({"meta", "rect", "line", "polyline", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_says_everything() -> None:
    text = page(DATA)
    for part in ("0.7912", "0.7915", "0.4411", "gbdt.gradients/1", "1,234,567", "cd" * 32, "ab" * 32, "revol_util"):
        assert part in text
    assert text.count("<polyline") == 2
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []


def test_a_disclosure_of_rows_is_red() -> None:
    assert re.search(r'class="red">rows', page(DATA))
    assert not re.search(r'class="red">encrypted', page(DATA))


def test_the_page_asks_nobody_for_anything() -> None:
    text = page(DATA)
    assert not re.search(r"<script|<link|<img|url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_hostile_names_stay_text() -> None:
    evil = "<script>alert(1)</script>\"'&"
    egress = [{**DATA.egress[0], "tag": evil, "disclosure": evil, "party": evil}]
    text = page(
        replace(DATA, title=evil, purpose=evil, reason=evil, submitter=evil, egress=egress,
                importance=[("bureau", evil, 1.0)])
    )  # fmt: skip
    assert "<script" not in text


def test_a_failed_job_has_a_page_too() -> None:
    text = page(
        replace(DATA, state="failed", reason="party_lost", metrics=None, central=None, importance=[], parties=[])
    )
    assert "party_lost" in text
    assert "<polyline" not in text


def test_held_out_rows_are_preferred_and_importance_is_sorted() -> None:
    results = {"evaluate": {"lender": {"metrics": {"training": {"auc": 1}, "validation": {"auc": 2}}}}}
    assert find_metrics(results) == ("validation", {"auc": 2})
    assert find_metrics({}) == ("", None)
    gains = [{"party": "a", "feature": "x", "gain": 1}, {"party": "b", "feature": "y", "gain": 5}]
    assert [f for _, f, _ in find_importance({"train": {"a": {"importance": gains}}})] == ["y", "x"]
