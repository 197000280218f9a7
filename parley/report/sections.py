"""How good the model is: charts and numbers of an evaluation; a function makes nothing where nothing was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from parley.report.charts import Curve, columns, heat, lines
from parley.report.data import ReportData
from parley.report.figures import column, curve, number
from parley.report.tables import grid, plain, table

ROWS = {
    "validation": "rows held out of training",
    "test": "rows kept for a last test",
    "all": "all aligned rows",
    "training": "rows used in training",
}
SCALARS = {
    "rows": "rows",
    "auc": "AUC",
    "gini": "Gini",
    "ks": "KS",
    "average_precision": "average precision",
    "best_f1": "best F1",
    "accuracy": "accuracy",
    "macro_f1": "F1, mean of classes",
    "weighted_f1": "F1, weighted by class",
    "macro_auc": "AUC, mean of classes",
    "kappa": "Cohen's kappa",
    "log_loss": "log loss",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
    "rmse": "RMSE",
    "mae": "MAE",
    "median_absolute_error": "median absolute error",
    "r2": "R2",
    "explained_variance": "explained variance",
    "msle": "mean squared log error",
    "poisson_deviance": "Poisson deviance",
    "gamma_deviance": "Gamma deviance",
    "tweedie_deviance": "Tweedie deviance",
    "groups": "groups",
    "ndcg_1": "NDCG of the first",
    "ndcg_3": "NDCG of the first 3",
    "ndcg_5": "NDCG of the first 5",
    "ndcg_10": "NDCG of the first 10",
    "map": "mean average precision",
    "mrr": "mean reciprocal rank",
}
BEST = "share of rows, best scored first"
Named = Sequence[tuple[str, str, Mapping[str, Any]]]  # label, css class, metrics


def measures(d: ReportData) -> str:
    """Every single number by part, the central model's beside them."""
    parts = dict(d.parts) or ({d.metrics_of or "all": d.metrics} if d.metrics else {})
    shown = [*parts.items(), *([("central", d.central)] if d.central else [])]
    found = [(words, *(plain(m.get(key)) for _, m in shown)) for key, words in SCALARS.items()]
    rows = [r for r in found if any(r[1:])]
    head = ("measure", *(escape(name) for name, _ in shown))
    return "<h2>Measures</h2>" + table("measures", head, rows, len(shown)) if rows else ""


def quality(d: ReportData) -> str:
    """ROC, precision-recall, KS, gain, lift, calibration, score histogram, confusion of the rows that count most."""
    both = (("federated", "fed", d.metrics), ("central", "cen", d.central))
    named = [(label, css, m) for label, css, m in both if m]
    made = [*_ranked(named), *_separated(named), *_banded(named), *_calibrated(named), *_confused(d.metrics or {})]
    if not made:
        return ""
    note = ROWS.get(d.metrics_of, "")
    intro = f'<p class="dim">On {escape(note)}.</p>' if note else ""
    return f"<h2>How good the model is</h2>{intro}" + grid(made)


def _ranked(named: Named) -> Iterator[str]:
    """ROC and precision-recall, the central model's beside the federated one's."""
    rocs: list[Curve] = []
    recalls: list[Curve] = []
    for label, css, m in named:
        if (c := curve(m.get("roc"), "fpr", "tpr")) is not None:
            rocs.append((f"{label}, AUC {plain(m.get('auc'))}", css, c[0], c[1]))
        if (c := curve(m.get("pr"), "recall", "precision")) is not None:
            recalls.append((f"{label}, AP {plain(m.get('average_precision'))}", css, c[0], c[1]))
    if rocs:
        words = "True positive rate over false positive rate: " + ", ".join(r[0] for r in rocs) + "."
        yield lines("roc", "ROC curve", words, rocs, ("false positive rate", "true positive rate"), diagonal=True)
    if recalls:
        words = "Precision over recall: " + ", ".join(r[0] for r in recalls) + "."
        yield lines("pr", "Precision-recall curve", words, recalls, ("recall", "precision"), legend="high")


def _separated(named: Named) -> Iterator[str]:
    for _, _, m in named[:1]:
        if (c := curve(m.get("separation"), "share", "positives", "negatives")) is not None:
            words = f"Share of each class over the share of rows, best scored first. KS {plain(m.get('ks'))}."
            classes: list[Curve] = [("labelled 1", "fed", c[0], c[1]), ("labelled 0", "cen", c[0], c[2])]
            yield lines("ks-chart", "KS: how far the classes part", words, classes, (BEST, "share of the class"))


def _banded(named: Named) -> Iterator[str]:
    for label, css, m in named[:1]:
        c = column(m.get("lift"), "share", "capture", "lift")
        if c is None:
            continue
        gain: list[Curve] = [(label, css, [0.0, *c[0]], [0.0, *c[1]])]
        words, axes = "Share of all labelled 1 that the best scored rows hold.", (BEST, "share of labelled 1")
        yield lines("gain", "Cumulative gain", words, gain, axes, diagonal=True, dots=True, legend="none")
        words = "Rate of 1 among the best scored rows over that of all rows; 1 is chance."
        labels = [f"{100 * s:.0f}%" for s in c[0]]
        yield columns(
            "lift", "Cumulative lift", words, labels, [("lift up to here", "b0", c[2])], (BEST, "lift"), line=1
        )


def _calibrated(named: Named) -> Iterator[str]:
    for label, css, m in named[:1]:
        if (c := column(m.get("calibration"), "mean", "rate")) is not None:
            yield _observed((label, css, c[0], c[1]), m)
        if (h := curve(m.get("histogram"), "positives", "negatives")) is not None:
            labels = [f"{k / len(h[0]):.2g}" for k in range(len(h[0]))]
            series = [("labelled 1", "b0", h[0]), ("labelled 0", "b1", h[1])]
            words = "Rows by score, in equal bins, for each label."
            yield columns("scores", "Scores by label", words, labels, series, ("score", "rows"))


def _observed(found: Curve, m: Mapping[str, Any]) -> str:
    """What came true over what was predicted."""
    if m.get("task") == "regression":
        values = [*found[2], *found[3]]
        low, high = min(values), max(values)
        span = (low, high if high > low else low + 1)
        title, words = "Predicted and observed", "Mean label over mean prediction, by bands of the prediction."
        axes = ("mean prediction", "mean label")
    else:
        span, title, axes = (0.0, 1.0), "Calibration", ("mean score", "rate of 1")
        words = f"Rate of 1 over mean score. Expected error {plain(m.get('expected_calibration_error'))}."
    return lines("calibration", title, words, [found], axes, x=span, y=span, diagonal=True, dots=True, legend="none")


def _confused(m: Mapping[str, Any]) -> Iterator[str]:
    found = m.get("confusion")
    try:
        if isinstance(found, dict):
            matrix = [[number(found["tp"]), number(found["fn"])], [number(found["fp"]), number(found["tn"])]]
            labels = (["labelled 1", "labelled 0"], ["called 1", "called 0"])
            title = f"Confusion at threshold {number(found['threshold']):.4g}"
        else:
            matrix = [[number(v) for v in row] for row in found or ()]
            across = [str(name) for name in m.get("predicted", range(len(matrix[0])))]
            labels, title = ([str(k) for k in range(len(matrix))], across), "Confusion by class"
            if {len(row) for row in matrix} != {len(across)}:
                return
    except (KeyError, TypeError, ValueError, IndexError):
        return
    words = "Rows by true class (down) and predicted class (across)."
    yield heat("confusion", title, words, labels, matrix, lambda v: f"{v:,.0f}")
