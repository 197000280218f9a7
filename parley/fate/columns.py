"""What FATE's statistics, binning and selection of columns are here."""

from __future__ import annotations

from typing import Any

from parley.fate.convert import Translation, Work

FIGURES = {
    "count": "count", "sum": "sum", "mean": "mean", "var": "variance", "variance": "variance", "std": "std",
    "median": "median", "min": "min", "max": "max", "skewness": "skew", "kurtosis": "kurtosis",
    "coefficient_of_variation": "cv", "missing_count": "missing", "missing_ratio": "missing_rate",
}  # fmt: skip
ORDERED = {"min", "max", "median"}
METHODS = {"quantile": "quantile", "bucket": "width", "manual": "edges"}
TRANSFORMS = {"woe": "woe", "bin_idx": "index"}
JUDGED = {"missing_ratio": "missing_rate", "std": "std", "var": "variance", "coefficient_of_variation": "cv"}


def chosen_columns(w: Work, key: str) -> dict[str, list[str]]:
    """Columns that each party names for a parameter, where it names any."""
    found = {p.name: w.task.of(p).get(key) for p in w.sites}
    return {p: [str(c) for c in names] for p, names in found.items() if isinstance(names, list)}


def statistics(w: Work) -> None:
    asked = w.task.parameters.get("metrics", ["summary"])
    with_: dict[str, Any] = {"exclude": [w.id]}
    figures, quantiles = [], []
    for name in [asked] if isinstance(asked, str) else asked:
        if name == "summary":
            figures += ["count", "mean", "std", "min", "max", "median"]
        elif name in FIGURES:
            figures.append(FIGURES[name])
        elif str(name).endswith("%"):
            quantiles.append(float(str(name)[:-1]) / 100)
        else:
            w.no_equivalent(f"the statistic {name}")
    if figures:
        with_["figures"] = list(dict.fromkeys(figures))
    if quantiles:
        with_["quantiles"] = quantiles
    if quantiles or ORDERED & set(figures):
        with_["order"] = True
        w.changed("least, greatest and middle values are single rows' values: policies may deny `order_statistics`")
    w.add("stats/summary", w.members, with_, w.needs())
    w.through()
    w.drop(skip_col="name the others under `columns`", relative_error="quantiles are exact")


def binning(w: Work) -> None:
    given = w.task.parameters
    with_: dict[str, Any] = {
        "label": w.label,
        "id": w.id,
        "method": METHODS.get(str(given.get("method", "quantile")), "quantile"),
        "bins": given.get("n_bins", 10),
        "transform": TRANSFORMS.get(str(given.get("transform_method")), "none"),
    }
    if with_["method"] == "edges":
        with_["edges"] = _edges(w)
        with_["columns"] = {p: list(columns) for p, columns in with_["edges"].items()}
    elif columns := chosen_columns(w, "bin_col"):
        with_["columns"] = columns
    if given.get("adjustment_factor"):
        with_["adjustment"] = given["adjustment_factor"]
    w.add("stats/woe", w.label_and_features, with_, w.needs("train_data", "input_data") or w.needs())
    w.drop(local_only="columns of all parties are weighed", skip_metrics="information values are always told")
    w.drop(category_col="columns of text are categories", relative_error="quantiles are exact")


def _edges(w: Work) -> dict[str, dict[str, list[float]]]:
    out = {}
    for party in w.sites:
        points = w.task.of(party).get("split_pt_dict")
        if isinstance(points, dict) and party.name not in out:
            out[party.name] = {str(c): [float(x) for x in edges] for c, edges in points.items()}
    return out


def selection(w: Work) -> None:
    given, filters = w.task.parameters, []
    data = w.needs("train_data", "input_data")
    dropped = _named(w, "filter_out_col") if "manual" in given.get("method", []) else {}
    if dropped:
        data = [w.add("prep/transform", w.members, {"do": "drop", "columns": dropped}, data, f"{w.task.name}_drop")]
    for method in given.get("method", []):
        if method == "manual":
            left = _named(w, "left_col")
            filters += [{"by": "manual", "columns": left}] if left else []
        elif method == "iv":
            filters.append({"by": "iv", **_bound(given.get("iv_param") or {})})
        elif method == "statistics":
            filters += _judged(w, given.get("statistic_param") or {})
        elif method in ("vif", "psi"):
            filters.append({"by": method, **_bound(given.get(f"{method}_param") or {})})
        else:
            w.no_equivalent(f"the filter {method}")
    needs = list(dict.fromkeys([*data, *w.needs("input_models")]))
    if not filters:
        if not dropped:
            w.through()
        return
    w.add("prep/select", w.label_and_features, {"filters": filters, "exclude": [w.id, w.label]}, needs)
    w.drop(select_col="`exclude` names what stays out", keep_one="a filter keeps one column with `keep_one`")


def _bound(given: dict[str, Any]) -> dict[str, Any]:
    kind, value = str(given.get("filter_type", "threshold")), given.get("threshold", 1)
    name = {"top_k": "top_k", "top_percentile": "top_share"}.get(kind, "threshold")
    return {name: int(value) if name == "top_k" else value}


def _judged(w: Work, given: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for metric in given.get("metrics", ["mean"]):
        if metric in JUDGED:
            out.append({"by": JUDGED[metric], **_bound(given)})
        else:
            w.no_equivalent(f"a filter by {metric}")
    return out


def _named(w: Work, key: str) -> dict[str, list[str]]:
    """Columns that a manual selection names, by party."""
    named = {p.name: (w.task.of(p).get("manual_param") or {}).get(key) for p in w.sites}
    return {p: [str(c) for c in names] for p, names in named.items() if isinstance(names, list)}


def correlation(w: Work) -> None:
    with_: dict[str, Any] = {
        "exclude": [c for c in (w.id, w.label) if c],
        "vif": bool(w.task.parameters.get("calc_local_vif", True)),
    }
    w.add("stats/correlation", w.members, with_, w.needs())
    w.through()
    w.drop(method="Pearson's is the one there is", local_only="correlations are between parties, too")
    w.drop(calc_local_vif="factors are over the columns of all parties", skip_col="name the others under `columns`")


COLUMNS: dict[str, Translation] = {
    "statistics": statistics,
    "feature_correlation": correlation,
    "hetero_feature_binning": binning,
    "hetero_feature_selection": selection,
}
