"""Every chart of the page: drawn from what a job tells, titled, inside its frame, and never from a wrong shape."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared import unavailable

from parley.components.training.metrics import evaluate
from parley.components.training.metrics_drift import drift
from parley.components.training.metrics_points import bands
from parley.report import ReportData, page
from parley.report.charts import bars, columns, heat, lines, nice, ticks
from parley.report.data import PartyLine, find_importance, find_metrics
from parley.report.figures import Figures, column, curve, find_figures, find_parts

RNG = np.random.default_rng(2)
CHROMIUM = Path("/usr/bin/chromium")
BINS = [{"label": f"bin {k}", "rows": 100, "events": 10 * k, "woe": k - 2.0} for k in range(5)]


DATA = ReportData(
    title="A model",
    purpose="Estimate risk.",
    job="j1",
    state="succeeded",
    reason="",
    contract="ab" * 32,
    submitter="ada",
    seconds=1.0,
    steps=[],
    parties=[PartyLine(name, "cd" * 32, "pinned", 900, "0.1.0") for name in ("bureau", "lender")],
    egress=[],
)


def binary(rows: int = 800) -> dict[str, Any]:
    p = RNG.uniform(size=rows)
    return evaluate("binary", (RNG.uniform(size=rows) < p).astype(int), p, min_cell=10)


def results() -> dict[str, dict[str, Any]]:
    scores = RNG.uniform(size=500)
    importance = [{"party": "bureau", "feature": "age", "gain": 2}, {"party": "lender", "feature": "rate", "gain": 1}]
    return {
        "evaluate": {"lender": {"metrics": {"training": binary(), "validation": binary()},
                                "drift": drift(scores, scores**2)}},
        "train": {"lender": {"losses": [0.7, 0.5, 0.4], "watched": "validation", "importance": importance}},
        "bin": {"lender": {"binning": [{"party": "bureau", "feature": "age", "iv": 0.3, "bins": BINS}]}},
        "correlate": {"lender": {"correlation": {"features": ["age", "rate"], "matrix": [[1, -0.5], [-0.5, 1]]}}},
        "card": {"lender": {"rows": 500, "points": bands(480 + 60 * scores, None, width=20, min_cell=10)}},
        "explain": {"lender": {"attribution": [{"party": "bureau", "feature": "", "mean": 0.4}]}},
        "attack": {"lender": {"leakage": {"split_norm_auc": 0.51}}},
    }  # fmt: skip


def data(found: dict[str, dict[str, Any]], **more: Any) -> ReportData:
    which, metrics = find_metrics(found)
    return replace(DATA, metrics=metrics, metrics_of=which, central=None, parts=find_parts(found),
                   figures=find_figures(found), importance=find_importance(found), **more)  # fmt: skip


def charts(text: str) -> dict[str, ET.Element]:
    return {e.attrib["id"]: e for e in map(ET.fromstring, re.findall(r"<svg.*?</svg>", text, re.DOTALL))}


def test_everything_a_job_tells_is_drawn() -> None:
    found = charts(page(data(results())))
    assert set(found) == {"roc", "pr", "ks-chart", "gain", "lift", "calibration", "scores", "confusion", "loss",
                          "importance", "iv", "woe-0", "correlation", "drift-0", "points", "attribution"}  # fmt: skip
    for name, chart in found.items():
        assert chart.attrib["role"] == "img"
        told = {e.attrib.get("id"): e.text for e in chart if e.tag in ("title", "desc")}
        for part in chart.attrib["aria-labelledby"].split():
            assert told[part], name
    text = page(data(results()))
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert 'id="measures"' in text
    assert "split norm auc" in text


def test_all_marks_lie_inside_their_charts() -> None:
    for name, chart in charts(page(data(results()))).items():
        _, _, width, height = map(float, chart.attrib["viewBox"].split())
        for rect in chart.iter("rect"):
            x, y, w, h = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
            assert x >= 0, name
            assert y >= 0, name
            assert x + w <= width, name
            assert y + h <= height + 0.1, name
        for line in chart.iter("polyline"):
            points = np.array([[float(v) for v in p.split(",")] for p in line.attrib["points"].split()])
            assert points.min() >= 0, name
            assert np.all(points <= [width, height]), name


def test_classes_and_regression_have_their_charts() -> None:
    k = RNG.integers(0, 4, 400)
    p = RNG.dirichlet(np.ones(4), 400) + np.eye(4)[k]
    classes = evaluate("multiclass", k, p / p.sum(axis=1, keepdims=True), min_cell=10)
    found = charts(page(data({"e": {"a": {"metrics": {"all": classes}}}})))
    assert set(found) == {"confusion"}
    assert len(list(found["confusion"].iter("rect"))) == 16
    y = RNG.gamma(2, 2, 400)
    numbers = evaluate("regression", y, y * 1.1, min_cell=10)
    text = page(data({"e": {"a": {"metrics": {"all": numbers}}}}))
    assert set(charts(text)) == {"calibration"}
    assert 'id="rmse"' in text


@pytest.mark.parametrize(
    "broken",
    [
        {"losses": [0.5, float("nan")]},
        {"losses": "lots"},
        {"drift": {"psi": "much", "bins": []}},
        {"drift": {"psi": 0.1, "bins": [{"reference": 1}]}},
        {"binning": [{"feature": "x", "iv": 1, "bins": [{"label": "a"}]}]},
        {"binning": {"x": 1}},
        {"correlation": {"features": ["a"], "matrix": [[1, 2]]}},
        {"correlation": {"features": ["a", "b"], "matrix": [[1, None], [2, 3]]}},
        {"leakage": {"x": "high"}},
        {"leakage": {"x": {"auc": "high"}}},
        {"points": [{"from": 1, "to": 2}]},
        {"points": 7},
        {"attribution": [{"party": "a", "mean": 1}]},
        {"metrics": {"all": {"auc": "high", "roc": {"fpr": [0, 1], "tpr": [0]}, "confusion": {"tp": 1}, "lift": {}}}},
        {"metrics": {"all": {"confusion": [[1, 2], [3]], "calibration": [{"mean": 1}], "histogram": 3}}},
        {"metrics": ["all"]},
    ],
)
def test_a_wrong_shape_is_left_out_and_the_page_stands(broken: dict[str, Any]) -> None:
    found = {"step": {"lender": broken}}
    assert find_figures(found) == Figures()
    text = page(data(found))
    assert "<svg" not in text
    assert "nan" not in text


def test_hostile_labels_stay_text_in_every_chart() -> None:
    evil = "</title><script>alert(1)</script>\"'&"
    found = results()
    found["bin"]["lender"]["binning"][0] |= {"feature": evil, "party": evil, "bins": [{**BINS[0], "label": evil}]}
    found["correlate"]["lender"]["correlation"]["features"] = [evil, evil]
    found["train"]["lender"] |= {"watched": evil}
    found["attack"]["lender"]["leakage"] = {evil: 1.0}
    found["evaluate"]["lender"]["metrics"]["training"] |= {"predicted": [evil]}
    text = page(data(found))
    assert "<script" not in text
    assert charts(text)


def test_bins_of_several_classes_have_their_information_value_alone() -> None:
    bins = [{"label": "0", "rows": 50, "events": [10, 20, 20], "woe": None}]
    found = {"bin": {"lender": {"binning": [{"party": "bureau", "feature": "age", "iv": 0.3, "bins": bins}]}}}
    assert set(charts(page(data(found)))) == {"iv"}


def test_many_features_are_cut_and_said() -> None:
    names = [f"f{k}" for k in range(50)]
    binning = [{"feature": n, "iv": 1 / (k + 1), "bins": BINS} for k, n in enumerate(names)]
    correlation = {"features": names, "matrix": np.eye(50).tolist()}
    found = {"c": {"a": {"correlation": correlation}}, "b": {"a": {"binning": binning}}}
    text = page(data(found))
    assert "The first 40 of 50 features" in text
    assert "30 features with less information" in text
    assert len(list(charts(text)["correlation"].iter("rect"))) == 1600


def test_round_numbers_on_axes() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0.31, 0.52) == [0.35, 0.4, 0.45, 0.5]
    assert ticks(2, 2) == [2]
    assert [nice(v) for v in (0.021, 1, 7.2, 130)] == pytest.approx([0.025, 1, 8, 150])


def test_empty_and_flat_values_are_drawn_without_dividing_by_nothing() -> None:
    assert "<svg" in columns("a", "t", "d", ["x"], [("s", "b0", [0.0])], ("x", "y"))
    assert "<svg" in bars("b", "t", "d", [("p", "l", 0.0, "0")], {})
    assert "<svg" in heat("c", "t", "d", (["r"], ["c"]), [[0.0]], str)
    assert "<svg" in lines("d", "t", "d", [("l", "fed", [0, 1], [0, 0])], ("x", "y"))
    flat = {"train": {"a": {"losses": [0.5, 0.5]}}}
    assert "loss" in charts(page(data(flat)))
    assert curve({"x": [1]}, "x") is None
    assert column([], "x") is None
    assert column([{"x": True}], "x") is None


def test_a_browser_shows_both_schemes_without_a_request_or_overflow(tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        unavailable("chromium is not installed (on Debian or Ubuntu: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "page.html"
    file.write_text(page(data(results())), encoding="utf-8")
    asked: list[str] = []
    said: list[str] = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM))
        for scheme, width in (("light", 1150), ("dark", 390)):
            view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
            view.on("request", lambda r: asked.append(r.url))
            view.on("console", lambda m: said.append(m.text))
            view.goto(file.as_uri())
            assert view.evaluate("document.documentElement.scrollWidth") <= width
            colours = view.evaluate(
                "[getComputedStyle(document.body).backgroundColor, "
                "getComputedStyle(document.querySelector('#roc .label')).fill, "
                "getComputedStyle(document.querySelector('#roc .fed')).stroke]"
            )
            background, text, line = (luminance(c) for c in colours)
            assert contrast(background, text) >= 7
            assert contrast(background, line) >= 4.5
        browser.close()
    assert len(asked) == 2
    assert said == []


def luminance(colour: str) -> float:
    """Relative luminance of an rgb() colour, as WCAG 2 defines it."""
    parts = np.array([int(v) for v in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def test_what_a_training_told_each_features_party_about_labels_is_shown() -> None:
    found = results()
    figures = {"auc": 0.7446, "nmi": 0.1128, "trees": 20, "rows": 10_000}
    strict = {"auc": 0.5, "nmi": 0.0, "trees": 20, "rows": 10_000, "splits_auc": 0.7121}
    found["train"]["lender"]["leakage"] = {"bureau": figures, "telco": strict}
    text = page(data(found))
    for part in ("bureau: labels from where rows sat", "0.7446", "0.1128", "telco: labels from the sides", "0.7121"):
        assert part in text
    assert "10,000" not in text.split("Measured leakage")[1].split("</table>")[0]
