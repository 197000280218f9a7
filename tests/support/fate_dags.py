"""DAGs of schema 2.x for every example job of FATE 2.x, written from what each is said to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Dag = dict[str, Any]
GUEST, HOSTS, ARBITER = ("guest", ["9999"]), ["10000", "10001"], ("arbiter", ["10000"])


class Builder:
    """Tasks one by one; `psi` and what feeds it is there from the beginning unless `plain`."""

    def __init__(self, hosts: int = 1, arbiter: bool = False, plain: bool = False) -> None:
        self.sites = [GUEST, ("host", HOSTS[:hosts])]
        self.parties = [*self.sites, *([ARBITER] if arbiter else [])]
        self.tasks: dict[str, Any] = {}
        self.own: dict[str, dict[str, Any]] = {}
        self.add("reader_0", "reader")
        for role, numbers in self.sites:
            for number in numbers:
                self.mine(role, number, "reader_0", namespace="experiment", name=f"breast_{role}")
        if not plain:
            self.add("psi_0", "psi", data={"input_data": "reader_0"})

    def add(self, name: str, component: str, data: dict[str, str] | None = None, model: dict[str, str] | None = None,
            **parameters: Any) -> Builder:  # fmt: skip
        def artifacts(given: dict[str, str]) -> dict[str, Any]:
            key = "output_data"
            return {
                k: {"task_output_artifact": {"producer_task": t, "output_artifact_key": key}} for k, t in given.items()
            }

        task: dict[str, Any] = {"component_ref": component, "parameters": parameters}
        inputs = {k: artifacts(v) for k, v in (("data", data), ("model", model)) if v}
        if inputs:
            task["inputs"] = inputs
            task["dependent_tasks"] = sorted({*(data or {}).values(), *(model or {}).values()})
        self.tasks[name] = task
        return self

    def mine(self, role: str, number: str, task: str, **parameters: Any) -> Builder:
        block = self.own.setdefault(
            f"{role}_{number}", {"parties": [{"role": role, "party_id": [number]}], "tasks": {}}
        )
        block["tasks"][task] = {"parameters": parameters}
        return self

    def dag(self, **conf: Any) -> Dag:
        parties = [{"role": r, "party_id": n} for r, n in self.parties]
        body = {"stage": "train", "parties": parties, "conf": conf, "tasks": self.tasks, "party_tasks": self.own}
        return {"schema_version": "2.2.0", "kind": "fate", "dag": body}


def one(component: str, *, hosts: int = 1, arbiter: bool = False, data: str = "input_data", **parameters: Any) -> Dag:
    return Builder(hosts, arbiter).add("task_0", component, {data: "psi_0"}, **parameters).dag()


def fitted(component: str, *, hosts: int = 1, arbiter: bool = False, metrics: bool = True, **parameters: Any) -> Dag:
    """Trained on what psi left, and evaluated."""
    made = Builder(hosts, arbiter).add("model_0", component, {"train_data": "psi_0"}, **parameters)
    return (
        made.add("evaluation_0", "evaluation", {"input_data": "model_0"}, metrics=["auc"]) if metrics else made
    ).dag()


def validated(component: str, arbiter: bool = False, **parameters: Any) -> Dag:
    made = Builder(arbiter=arbiter).add(
        "split_0", "data_split", {"input_data": "psi_0"}, train_size=0.8, validate_size=0.2
    )
    data = {"train_data": "split_0", "validate_data": "split_0"}
    return made.add("model_0", component, data, **parameters).dag()


def warm(component: str, arbiter: bool = False, **parameters: Any) -> Dag:
    made = Builder(arbiter=arbiter).add("first_0", component, {"train_data": "psi_0"}, **parameters)
    return made.add("second_0", component, {"train_data": "psi_0"}, {"warm_start_model": "first_0"}, **parameters).dag()


def binned(then: str = "", hosts: int = 1, **parameters: Any) -> Builder:
    made = Builder(hosts, arbiter=then.startswith("coordinated"))
    made.add(
        "binning_0",
        "hetero_feature_binning",
        {"train_data": "psi_0"},
        **{"n_bins": 10, "method": "quantile", **parameters},
    )
    return made.add("lr_0", then, {"train_data": "binning_0"}) if then else made


def selected(method: list[str], hosts: int = 1, **parameters: Any) -> Builder:
    made = Builder(hosts).add("binning_0", "hetero_feature_binning", {"train_data": "psi_0"}, n_bins=10)
    made.add("statistics_0", "statistics", {"input_data": "psi_0"}, metrics=["mean", "max"])
    models = (
        {"input_models": "binning_0"}
        if "iv" in method
        else {"input_models": "statistics_0"}
        if "statistics" in method
        else {}
    )
    return made.add(
        "selection_0", "hetero_feature_selection", {"train_data": "psi_0"}, models, method=method, **parameters
    )


def chain(predicted: bool) -> Dag:
    made = Builder(arbiter=True).add("scale_0", "feature_scale", {"input_data": "psi_0"}, method="standard")
    made.add("split_0", "data_split", {"input_data": "scale_0"}, train_size=0.7, test_size=0.3, stratified=True)
    made.add("sbt_0", "hetero_secureboost", {"train_data": "split_0"}, num_trees=3)
    if predicted:
        made.add("sbt_1", "hetero_secureboost", {"test_data": "split_0"}, {"input_model": "sbt_0"})
    return made.add("evaluation_0", "evaluation", {"input_data": "sbt_1" if predicted else "sbt_0"}).dag()


def plain_reader() -> Dag:
    return Builder(plain=True).dag()


def united() -> Dag:
    made = Builder().add("sample_0", "sample", {"input_data": "psi_0"}, frac=0.5)
    made.tasks["union_0"] = {
        "component_ref": "union",
        "parameters": {},
        "inputs": {"data": {"input_data_list": {"task_output_artifact": [
            {"producer_task": t, "output_artifact_key": "output_data"} for t in ("sample_0", "psi_0")]}}},
    }  # fmt: skip
    return made.dag()


def sequence(*layers: tuple[str, dict[str, Any]]) -> Dag:
    listed = {i: {"module_name": "torch.nn", "item_name": n, "kwargs": k} for i, (n, k) in enumerate(layers)}
    return {"module_name": "nn.torch.base", "item_name": "load_seq", "kwargs": {"seq_conf": listed}}


def linear(given: int, out: int) -> tuple[str, dict[str, Any]]:
    return "Linear", {"in_features": given, "out_features": out}


def network(cut: dict[str, Any], host: int, guest: int, loss: str = "BCELoss") -> Dag:
    """As the client's default runner writes it: a configuration for each party."""
    made = Builder().add("nn_0", "hetero_nn", {"train_data": "psi_0"})
    common = {
        "optimizer_conf": {"module_name": "torch.optim", "item_name": "Adam", "kwargs": {"lr": 0.02}},
        "training_args_conf": {"num_train_epochs": 3, "per_device_train_batch_size": 16},
        "task_type": "binary",
    }
    shares = cut if "guest_in_features" in cut else None
    top = sequence(linear(guest, 5), ("ReLU", {}), linear(5, 1), ("Sigmoid", {}))
    mine = {
        **common,
        "bottom_model_conf": sequence(linear(10, guest))["kwargs"]["seq_conf"][0],
        "top_model_conf": top,
        "agglayer_arg_conf": shares,
        "loss_conf": {"module_name": "torch.nn", "item_name": loss, "kwargs": {}},
    }
    theirs = {**common, "bottom_model_conf": sequence(linear(20, host), ("ReLU", {})), "agglayer_arg_conf": cut}
    made.mine("guest", "9999", "nn_0", runner_conf=mine).mine("host", "10000", "nn_0", runner_conf=theirs)
    made.add("nn_1", "hetero_nn", {"test_data": "psi_0"}, {"input_model": "nn_0"})
    return made.add("evaluation_0", "evaluation", {"input_datas": "nn_1"}, metrics=["auc"]).dag()


LR, LINR, SBT = ("coordinated_lr", "sshe_lr"), ("coordinated_linr", "sshe_linr"), "hetero_secureboost"
SPLIT = {"train_size": 0.6, "validate_size": 0.0, "test_size": 0.4}
EXAMPLES: dict[str, Callable[[], Dag]] = {
    "psi": lambda: Builder().dag(),
    "psi multi_host": lambda: Builder(hosts=2).dag(),
    "upload": plain_reader,
    "upload_sid": plain_reader,
    "union": united,
    "statistics default": lambda: one("statistics", metrics=["summary"]),
    "statistics custom": lambda: one("statistics", metrics=["mean", "std", "25%"], skip_col=["x1"]),
    "sample plain": lambda: one("sample", frac=0.4, replace=False, hetero_sync=True),
    "sample multi_host": lambda: one("sample", hosts=2, frac={"0": 0.5, "1": 1.0}, hetero_sync=True),
    "sample unilateral": lambda: one("sample", n=100, hetero_sync=False),
    "data_split plain": lambda: one("data_split", **SPLIT),
    "data_split multi_host": lambda: one("data_split", hosts=2, train_size=0.5, test_size=0.5),
    "data_split stratified": lambda: one("data_split", stratified=True, **SPLIT),
    "data_split stratified_homo": lambda: one("data_split", stratified=True, train_size=200, test_size=100),
    "feature_scale min_max": lambda: one("feature_scale", method="min_max", feature_range=[-1, 1], strict_range=True),
    "feature_scale standard": lambda: one("feature_scale", method="standard", scale_col=["x0", "x3"]),
    "feature_scale lr": lambda: Builder(arbiter=True).add("scale_0", "feature_scale", {"input_data": "psi_0"})
        .add("lr_0", "coordinated_lr", {"train_data": "scale_0"}).dag(),
    "binning quantile": lambda: binned().dag(),
    "binning bucket": lambda: binned(method="bucket").dag(),
    "binning asymmetric": lambda: binned(method="manual", split_pt_dict={"x0": [0.0, 1.0]}).dag(),
    "binning multi_host": lambda: binned(hosts=2).dag(),
    "binning lr": lambda: binned("coordinated_lr", transform_method="woe").dag(),
    "selection manual": lambda: selected(["manual"], manual_param={"filter_out_col": ["x0"]}).dag(),
    "selection statistics": lambda: selected(
        ["statistics"], statistic_param={"metrics": ["max", "std"], "threshold": 0.01}).dag(),
    "selection binning": lambda: selected(["iv"], iv_param={"filter_type": "threshold", "threshold": 0.1}).dag(),
    "selection binning lr": lambda: selected(["iv"], iv_param={"filter_type": "top_k", "threshold": 5})
        .add("lr_0", "sshe_lr", {"train_data": "selection_0"}).dag(),
    "selection multi_host": lambda: selected(["iv"], hosts=2, iv_param={"filter_type": "top_k", "threshold": 5}).dag(),
    "selection multi_model": lambda: selected(["statistics", "iv"], iv_param={"threshold": 0.1}).dag(),
    "feature_correlation": lambda: one("feature_correlation", method="pearson", local_only=False),
    **{f"{m} {n}": f for m in LR for n, f in {
        "plain": lambda m=m: fitted(m, arbiter=m in LR[:1], epochs=10, batch_size=100, early_stop="weight_diff"),
        "cv": lambda m=m: one(m, data="cv_data", cv_param={"n_splits": 5}, epochs=3),
        "multi_class": lambda m=m: fitted(m, metrics=False, epochs=3),
        "validate": lambda m=m: validated(m, epochs=3),
        "warm_start": lambda m=m: warm(m, epochs=3),
        "predict_w_torch": lambda m=m: fitted(m, epochs=3, optimizer={"method": "adam"}),
    }.items()},
    "coordinated_lr multi_host": lambda: fitted("coordinated_lr", hosts=2, arbiter=True, epochs=3),
    **{f"{m} {n}": f for m in LINR for n, f in {
        "plain": lambda m=m: fitted(
            m, arbiter=m in LINR[:1], epochs=10, learning_rate_scheduler={"method": "constant"}),
        "cv": lambda m=m: one(m, data="cv_data", cv_param={"n_splits": 5}),
        "warm_start": lambda m=m: warm(m, epochs=3),
    }.items()},
    "coordinated_linr multi_host": lambda: fitted("coordinated_linr", hosts=2, arbiter=True),
    "sshe_linr validate": lambda: validated("sshe_linr"),
    "sbt binary": lambda: fitted(SBT, num_trees=3, max_depth=3, he_param={"kind": "paillier", "key_length": 1024}),
    "sbt cv": lambda: one(SBT, data="cv_data", cv_param={"n_splits": 5}, num_trees=3),
    "sbt warm_start": lambda: warm(SBT, num_trees=3),
    "sbt multi": lambda: fitted(SBT, objective="multi:ce", num_class=4, num_trees=3, l1=0.1),
    "sbt regression": lambda: fitted(SBT, objective="regression:l2", goss=True, top_rate=0.2, other_rate=0.1),
    "hetero_nn fedpass": lambda: network(
        {"agg_type": "fed_pass", "layer_type": "linear", "in_channels_or_features": 20, "out_channels_or_features": 10},
        host=20, guest=10),
    "hetero_nn sshe": lambda: network(
        {"agg_type": "hess", "guest_in_features": 8, "host_in_features": 8, "out_features": 6}, host=8, guest=8),
    "homo_lr binary": lambda: fitted("homo_lr", arbiter=True),
    "homo_lr multi_ovr": lambda: fitted("homo_lr", arbiter=True),
    "homo_nn binary": lambda: fitted("homo_nn", arbiter=True),
    "homo_nn multi": lambda: fitted("homo_nn", arbiter=True),
    "homo_nn regression": lambda: fitted("homo_nn", arbiter=True),
    "multi_model chain": lambda: chain(False),
    "multi_model preprocessing": lambda: selected(["iv"], iv_param={"threshold": 0.1})
        .add("scale_0", "feature_scale", {"input_data": "selection_0"}).dag(),
    "multi_model with_predict": lambda: chain(True),
}  # fmt: skip
