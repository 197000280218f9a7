"""What each component of FATE 2.x is here: alignment, division, scales, evaluation."""

from __future__ import annotations

from typing import Any

from parley.fate.columns import COLUMNS, chosen_columns
from parley.fate.convert import Translation, Work
from parley.fate.models import MODELS
from parley.protocols import registry

SEEDS = {"random_state": "draws come from the contract's public seed"}
SCALED = {"standard": "standard", "min_max": "min_max"}


def psi(w: Work) -> None:
    """Two parties take the fast intersection; more take the one that shows no pairwise intersections."""
    if len(w.hosts) == 1:
        w.add("psi/vole", {"receiver": w.guest, "sender": w.hosts}, {"id": w.id}, [])
    else:
        w.add("psi/multi", w.members, {"id": w.id}, [])
        w.changed("nobody learns the intersection of two parties alone, as the guest does in FATE")


def data_split(w: Work) -> None:
    given = w.task.parameters
    train, validate, test = (given.get(f"{k}_size") for k in ("train", "validate", "test"))
    with_: dict[str, Any] = {}
    if validate:
        with_["validate"] = validate
    if test is not None:
        with_["test"] = test
    elif isinstance(train, float):
        with_["test"] = round(1 - train - (validate if isinstance(validate, float) else 0), 12)
    if train is not None and not isinstance(train, float):
        w.changed("train_size as a count is not taken over: what validate and test leave is for training")
    _divided(w, "prep/split", with_, "stratified" if given.get("stratified") else "")
    w.changed("one frame in parts goes on, instead of three tables; later steps fit on its training part")
    w.drop(**SEEDS)


def _divided(w: Work, uses: str, with_: dict[str, Any], by: str) -> None:
    if by:
        roles = {"label": w.guest, "member": w.hosts}
        w.add(uses, roles, {**with_, "by": by, "column": w.label}, w.needs())
    else:
        w.add(uses, w.members, with_, w.needs())


def sample(w: Work) -> None:
    given = w.task.parameters
    frac, n = given.get("frac"), given.get("n")
    if isinstance(frac, dict):
        shares = {str(k): v for k, v in frac.items()}
        w.add("prep/sample", {"label": w.guest, "member": w.hosts}, {"column": w.label, "shares": shares}, w.needs())
    else:
        w.add("prep/sample", w.members, {"share": n if n is not None else frac if frac is not None else 1}, w.needs())
    w.drop(replace="a sample is drawn without replacement", **SEEDS)
    if given.get("hetero_sync") is False:
        w.changed("hetero_sync false is not taken over: every party keeps the same rows")


def feature_scale(w: Work) -> None:
    given = w.task.parameters
    with_: dict[str, Any] = {"method": SCALED.get(str(given.get("method", "standard")), "standard")}
    bounds = given.get("feature_range")
    if isinstance(bounds, list) and len(bounds) == 2:
        with_ |= {"low": bounds[0], "high": bounds[1]}
    if given.get("strict_range"):
        with_["strict"] = True
    columns = chosen_columns(w, "scale_col")
    with_ |= {"columns": columns} if columns else {"exclude": [w.id, w.label]}
    w.add("prep/scale", w.members, with_, w.needs())
    if isinstance(bounds, dict):
        w.changed("a range of its own for each column is not taken over")


def union(w: Work) -> None:
    needs = w.needs()
    if len(needs) == 2:
        w.add("prep/union", w.members, {}, needs)
    else:
        w.no_equivalent("a union of tables that no earlier step divided; append the files with `parley party data`")
        w.through()


def evaluation(w: Work) -> None:
    with_: dict[str, Any] = {}
    made = [_scores_of(w, step) for step in w.needs()]
    needs = [n for n in made if "scores" in registry.load(w.out.job["steps"][n]["uses"]).leaves]
    if not needs:
        w.no_equivalent("an evaluation of nothing that is in this job")
        return
    for extra in needs[1:]:
        w.add("evaluate", {"label": w.guest}, with_, [extra], f"{w.task.name}_{extra}")
    w.add("evaluate", {"label": w.guest}, with_, needs[:1])
    w.drop(metrics="all measures that fit the model are told", label_column_name="labels come with the scores")
    w.drop(predict_column_name="scores come from the step")


def _scores_of(w: Work, step: str) -> str:
    """The step that leaves what this one's model scores: nobody learns a linear model's scores from its training."""
    steps = w.out.job["steps"]
    made = steps[step]
    if made["uses"] != "linear/vertical":
        return step
    data = [n for n in made.get("needs", []) if steps[n]["uses"] != "linear/vertical"]
    scoring = {"uses": "linear/predict", "roles": made["roles"], "needs": [*data, step], "with": {"label": w.label}}
    steps.setdefault(f"{step}_scores", scoring)
    return f"{step}_scores"


TRANSLATIONS: dict[str, Translation] = {
    "psi": psi,
    "data_split": data_split,
    "sample": sample,
    "feature_scale": feature_scale,
    "union": union,
    "evaluation": evaluation,
    **COLUMNS,
    **MODELS,
}
