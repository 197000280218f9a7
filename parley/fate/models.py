"""What FATE's models are here: boosting, linear models, networks."""

from __future__ import annotations

from typing import Any

from parley.fate.convert import Translation, Work
from parley.fate.networks import hetero_nn

OBJECTIVES = {"binary:bce": "binary", "multi:ce": "multi", "regression:l2": "regression"}


def secureboost(w: Work) -> None:
    given = w.task.parameters
    if w.only_scores():
        w.score("gbdt/score", {"trees": 2000, "depth": 10})
        return
    objective = str(given.get("objective", "binary:bce"))
    with_: dict[str, Any] = {"label": w.label, "id": w.id, "objective": OBJECTIVES.get(objective, "binary")}
    if objective not in OBJECTIVES:
        w.no_equivalent(f"the objective {objective}; binary is taken")
    taken = {
        "num_trees": "trees", "max_depth": "depth", "learning_rate": "learning_rate", "max_bin": "bins", "l2": "lambda",
        "min_child_weight": "min_child_weight", "min_impurity_split": "gamma", "num_class": "classes",
    }  # fmt: skip
    defaults = {"num_trees": 3, "max_depth": 3, "learning_rate": 0.3, "max_bin": 32, "l2": 0.1, "min_child_weight": 0.1}
    for theirs, ours in taken.items():
        value = given.get(theirs, defaults.get(theirs))
        if value is not None and not (theirs == "num_class" and with_["objective"] != "multi"):
            with_[ours] = value
    if given.get("goss"):
        with_["goss"] = {"top": given.get("top_rate", 0.2), "other": given.get("other_rate", 0.1)}
    if given.get("complete_secure"):
        with_["own_trees"] = int(given["complete_secure"])
    with_["scheme"] = "lattice"
    w.train("gbdt/vertical", with_)
    w.drop(l1="leaves have no L1 term", he_param="rows are encrypted on the lattice", hist_sub="it is always done")
    w.drop(gh_pack="it is always done", split_info_pack="`packed: true` makes answers small")
    w.scored("gbdt/score", {"trees": with_["trees"] * with_.get("classes", 1), "depth": with_["depth"]})


def _regression(model: str) -> Translation:
    def translate(w: Work) -> None:
        if w.only_scores():
            w.score("linear/predict", {})
            return
        with_: dict[str, Any] = {"label": w.label, "id": w.id, "model": model, **_descent(w.task.parameters)}
        w.train("linear/vertical", with_)
        if model == "logistic":
            w.changed("labels of more than two classes need model: ovr, with classes")
        w.drop(learning_rate_scheduler="`decay` lowers the rate", init_param="weights begin at zero")
        w.drop(he_param="rows are encrypted on the lattice", floating_point_precision="numbers are fixed point")
        w.drop(reveal_strategy="weights stay with their owners", reveal_loss_freq="the loss is known every epoch")
        w.scored("linear/predict", {})

    return translate


def _descent(given: dict[str, Any]) -> dict[str, Any]:
    """How it descends: FATE names torch's optimizers, and puts the rate and the penalty beside them."""
    out: dict[str, Any] = {"epochs": given.get("epochs", 20)}
    batch = given.get("batch_size")
    if isinstance(batch, int) and batch > 0:
        out["batch"] = batch
    optimizer = given.get("optimizer") if isinstance(given.get("optimizer"), dict) else {}
    assert isinstance(optimizer, dict)
    inner = optimizer.get("optimizer_params") or {}
    rate = given.get("learning_rate", inner.get("lr"))
    out["optimizer"] = "adam" if "adam" in str(optimizer.get("method", "sgd")).lower() else "sgd"
    out["learning_rate"] = rate if rate is not None else 0.05
    penalty, alpha = str(optimizer.get("penalty", "")).lower(), optimizer.get("alpha")
    if penalty in ("l1", "l2") and alpha:
        out[penalty] = alpha
    if given.get("early_stop"):
        out |= {"early_stopping": 1, "tolerance": given.get("tol", 1e-4)}
    return out


MODELS: dict[str, Translation] = {
    "hetero_secureboost": secureboost,
    "coordinated_lr": _regression("logistic"),
    "sshe_lr": _regression("logistic"),
    "coordinated_linr": _regression("linear"),
    "sshe_linr": _regression("linear"),
    "hetero_nn": hetero_nn,
}
