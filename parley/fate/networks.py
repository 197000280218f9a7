"""What FATE's `hetero_nn` is here: a network that is cut between the parties, read off its runner's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley.fate.convert import Work

LOSSES = {
    "BCELoss": "binary",
    "BCEWithLogitsLoss": "binary",
    "CrossEntropyLoss": "multi",
    "NLLLoss": "multi",
    "MSELoss": "regression",
}
ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh"}
AT_THE_END = {"Sigmoid", "Softmax", "LogSoftmax"}  # belongs to the loss here
LAYERS, WIDTH = 8, 1024


def hetero_nn(w: Work) -> None:
    if w.only_scores():
        w.score("nn/predict", {"width": WIDTH})
        return
    guest = w.sites[0]
    configured = {p.name: _mapping(w.task.of(p).get("runner_conf")) for p in w.sites}
    own = configured[guest.name]
    with_: dict[str, Any] = {"label": w.label, "id": w.id, **_objective(w, own), **_descent(w, own)}
    bottom = {name: _bottom(w, name, given) for name, given in configured.items()}
    if named := {name: widths for name, widths in bottom.items() if widths}:
        with_["bottom"] = named
    widths, functions = _layers(w, own.get("top_model_conf"), "top_model")
    with_["top"] = [*_interaction(own), *widths[:-1]][:LAYERS]
    if functions:
        with_["activation"] = functions[0]
    w.train("nn/split", with_)
    w.changed("values at the cut are shown row by row, so that policies must allow `individual_updates`")
    w.scored("nn/predict", {"width": WIDTH})


def _objective(w: Work, own: Mapping[str, Any]) -> dict[str, Any]:
    loss = str(_mapping(own.get("loss_conf")).get("item_name", "BCELoss"))
    if loss not in LOSSES:
        w.no_equivalent(f"the loss {loss}; binary is taken")
    objective = LOSSES.get(loss, "binary")
    if objective != "multi":
        return {"objective": objective}
    last = _layers(w, own.get("top_model_conf"), "")[0][-1:]
    return {"objective": objective, "classes": last[0] if last and last[0] >= 2 else 2}


def _descent(w: Work, own: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs, batch and optimiser, as the guest has them: here they are the same at all parties."""
    args, optimizer = _mapping(own.get("training_args_conf")), _mapping(own.get("optimizer_conf"))
    given = _mapping(optimizer.get("kwargs"))
    out: dict[str, Any] = {}
    for theirs, ours in (("num_train_epochs", "epochs"), ("per_device_train_batch_size", "batch")):
        value = args.get(theirs)
        if isinstance(value, (int, float)) and value >= 1:
            out[ours] = int(value)
    name = str(optimizer.get("item_name", "Adam"))
    out["optimiser"] = "sgd" if name == "SGD" else "adam"
    if name not in ("SGD", "Adam"):
        w.changed(f"the optimizer {name} is not taken over: adam is")
    for theirs, ours in (("lr", "learning_rate"), ("weight_decay", "weight_decay"), ("momentum", "momentum")):
        value = given.get(theirs)
        if isinstance(value, (int, float)) and value and (theirs != "momentum" or name == "SGD"):
            out[ours] = value
    return out


def _bottom(w: Work, party: str, given: Mapping[str, Any]) -> list[int]:
    """Widths of a party's own layers; the layer that FATE's passports sit in is one of them."""
    widths, _ = _layers(w, given.get("bottom_model_conf"), f"bottom_model of {party}")
    cut = _mapping(given.get("agglayer_arg_conf"))
    if cut.get("agg_type") == "fed_pass":
        w.changed(f"the passports of {party} are not taken over: its layer is one like the others")
        out = cut.get("out_channels_or_features")
        if isinstance(out, int):
            widths = [*widths, out]
    return widths[:LAYERS]


def _interaction(own: Mapping[str, Any]) -> list[int]:
    """The width of the layer behind the cut that FATE computes on shares."""
    out = _mapping(own.get("agglayer_arg_conf")).get("out_features")
    return [out] if isinstance(out, int) else []


def _layers(w: Work, conf: Any, what: str) -> tuple[list[int], list[str]]:
    """Widths and activations of a model of linear layers, as FATE's client writes it; `what` "" remarks on nothing."""
    model = _mapping(conf)
    inner = _mapping(_mapping(model.get("kwargs")).get("seq_conf"))
    listed = [inner[k] for k in sorted(inner, key=lambda k: int(str(k)))] if inner else [model] if model else []
    widths: list[int] = []
    functions: list[str] = []
    for layer in map(_mapping, listed):
        name, out = str(layer.get("item_name", "")), _mapping(layer.get("kwargs")).get("out_features")
        if name == "Linear" and isinstance(out, int):
            widths.append(min(out, WIDTH))
        elif name in ACTIVATIONS:
            functions.append(ACTIVATIONS[name])
        elif name not in AT_THE_END and what:
            w.no_equivalent(f"the layer {name or 'without a name'} in {what}")
    return widths, functions


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
