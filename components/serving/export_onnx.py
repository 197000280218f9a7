"""A party's own part of a model as an ONNX graph, to be run outside of this software on the party's own columns.

Inputs are named by column, (n, 1) each: double for numbers (NaN is missing; dates as days, timestamps as their
integer), text for categories ("" is missing, true and false for truth values). They are the columns after the party's
own chain of preparing transforms. Graphs:

    boosting, features party   own columns                      ->  sides (n, S) bool: which rows go left at each split
    boosting, label party      own columns, sides (n, A) bool   ->  raw (n, K), score (n, K) or (n, 1)
    linear, a part             own columns                      ->  part (n, K)
    linear, label party        own columns, others (n, K)       ->  raw (n, K), score (n, K)

`sides` and `others` are what the other parties' graphs give: the metadata entry "splits" names the columns of `sides`
in order, so that answers of several parties can be put in place; `others` is the sum of the other parts. Whoever runs
all graphs sees all of that, as the label party does in prediction.

Operators are those of the default domain, opset 19, and ai.onnx.ml LabelEncoder; splits use the same comparisons as
training, so that the scores are equal up to the order of a sum.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from parley.components.errors import DataError
from parley.components.features.binning import ColumnBins
from parley.components.serving.parts import LabelTrees, Linear, OwnSplit, Part, SideTrees

if TYPE_CHECKING:
    import onnx

OPSET, ML_OPSET, IR = 19, 3, 9
ROWS = "n"


def to_onnx(part: Part, name: str = "part") -> onnx.ModelProto:
    """The graph; DataError `no_onnx` without the package, `cannot_export` for a part that has no graph."""
    g = _Graph(name)
    if isinstance(part, LabelTrees):
        _label(g, part)
    elif isinstance(part, SideTrees):
        if not part.own:
            raise DataError("cannot_export", "this party owns no split of the model")
        g.node("Identity", [_sides(g, part.own)], "sides")
        g.output("sides", bool, (ROWS, len(part.own)))
        g.describe("splits", [s.name for s in part.own])
    else:
        _linear(g, part)
    return g.model()


class _Graph:
    """A graph under construction: nodes in order, constants by value, inputs by column."""

    def __init__(self, name: str) -> None:
        try:
            import onnx
        except ImportError:
            raise DataError(
                "no_onnx", "ONNX export needs the package onnx", "pip install 'parley[export]', or export JSON or PMML"
            ) from None
        self._onnx, self._name = onnx, name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: dict[str, Any] = {}
        self._outputs: list[Any] = []
        self._notes: dict[str, str] = {}

    def node(self, op: str, inputs: list[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return its name."""
        out = output or f"_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(op, inputs, [out], domain=domain, **attributes))
        return out

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        name = f"_c{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def input(self, name: str, kind: type, shape: tuple[str | int, ...]) -> str:
        if name not in self._inputs:
            self._inputs[name] = self._onnx.helper.make_tensor_value_info(name, self._kind(kind), list(shape))
        return name

    def output(self, name: str, kind: type, shape: tuple[str | int, ...]) -> None:
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self._kind(kind), list(shape)))

    def describe(self, key: str, value: object) -> None:
        self._notes[key] = json.dumps(value)

    def model(self) -> onnx.ModelProto:
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, self._name, list(self._inputs.values()), self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, producer_name="parley", ir_version=IR)
        helper.set_model_props(made, self._notes)
        self._onnx.checker.check_model(made, full_check=True)
        return made

    def _kind(self, kind: type) -> int:
        types = self._onnx.TensorProto
        return int({float: types.DOUBLE, str: types.STRING, bool: types.BOOL}[kind])


def _codes(g: _Graph, column: ColumnBins) -> str:
    """(n,) int64 bins of a column, as `ColumnBins.codes` gives them."""
    missing = column.value_bins
    if column.kind == "categorical":
        if "" in column.categories:
            raise DataError("cannot_export", f"the empty text is a category of {column.name!r}", "export JSON instead")
        text = g.input(column.name, str, (ROWS, 1))
        unseen = len(column.categories) if column.other else missing
        keys, values = [*column.categories, ""], [*range(len(column.categories)), missing]
        found = g.node(
            "LabelEncoder", [text], domain="ai.onnx.ml", keys_strings=keys, values_int64s=values, default_int64=unseen
        )
        return g.node("Reshape", [found, g.constant(np.array([-1]))])
    value = g.input(column.name, float, (ROWS, 1))
    over = g.node("Greater", [value, g.constant(np.array([column.edges], dtype=np.float64).reshape(1, -1))])
    count = g.node("Cast", [over], to=g._onnx.TensorProto.INT64)
    code = g.node("ReduceSum", [count, g.constant(np.array([1]))], keepdims=1)
    gap = g.node("IsNaN", [value])
    code = g.node("Where", [gap, g.constant(np.array([[missing]])), code])
    return g.node("Reshape", [code, g.constant(np.array([-1]))])


def _sides(g: _Graph, own: tuple[OwnSplit, ...]) -> str:
    """(n, S) bool, which rows go left at each split, in the order of `own`."""
    by_column: dict[str, list[int]] = {}
    for i, split in enumerate(own):
        by_column.setdefault(split.column.name, []).append(i)
    parts, order = [], []
    for positions in by_column.values():
        code = _codes(g, own[positions[0]].column)
        left = np.array([own[i].left for i in positions], dtype=bool).T
        parts.append(g.node("Gather", [g.constant(left), code], axis=0))
        order += positions
    joined = g.node("Concat", parts, axis=1)
    return g.node("Gather", [joined, g.constant(np.argsort(np.array(order)))], axis=1)


def _label(g: _Graph, part: LabelTrees) -> None:
    given = [_sides(g, part.own)] if part.own else []
    if part.asked:
        given.append(g.input("sides", bool, (ROWS, len(part.asked))))
        g.describe("splits", list(part.asked))
    if not given:
        raise DataError("cannot_export", "the model has no split")
    names = [*(s.name for s in part.own), *part.asked]
    wanted, paths, depth, weights = _paths(part, {n: i for i, n in enumerate(names)})
    trees, splits = wanted.shape
    sides = g.node("Cast", [g.node("Concat", given, axis=1)], to=g._onnx.TensorProto.FLOAT)
    signed = g.node("Sub", [g.node("Add", [sides, sides]), g.constant(np.float32(1).reshape(1, 1))])
    picked = g.node("Gather", [signed, g.constant(wanted.reshape(-1))], axis=1)
    shaped = g.node("Reshape", [picked, g.constant(np.array([-1, trees, splits]))])
    by_tree = g.node("Transpose", [shaped], perm=[1, 0, 2])
    agreed = g.node("MatMul", [by_tree, g.constant(paths)])
    reached = g.node("Cast", [g.node("Equal", [agreed, g.constant(depth)])], to=g._onnx.TensorProto.DOUBLE)
    scores = g.node("MatMul", [reached, g.constant(weights)])
    total = g.node("ReduceSum", [scores, g.constant(np.array([0]))], keepdims=0)
    g.node("Add", [total, g.constant(np.array(part.base, dtype=np.float64))], "raw")
    _linked(g, part.link, len(part.base))


def _paths(part: LabelTrees, at: dict[str, int]) -> tuple[Any, Any, Any, Any]:
    """Trees as matrices: a row reaches the leaf whose path its signed sides agree with at every split.

    wanted (T, S) int64: the side of each split of a tree; paths (T, S, L) float32: +1 where a leaf lies left of a
    split, -1 right; depth (T, 1, L): the sum that only the reached leaf has; weights (T, L, K). Shorter trees are
    padded.
    """
    found = [_leaves(tree) for tree in part.trees]
    splits = max(1, *(sum(1 for b in t if b.split) for t in part.trees))
    leaves, trees = max(len(f) for f in found), len(found)
    wanted = np.zeros((trees, splits), dtype=np.int64)
    paths = np.zeros((trees, splits, leaves), dtype=np.float32)
    depth = np.full((trees, 1, leaves), splits + 1, dtype=np.float32)
    weights = np.zeros((trees, leaves, len(part.base)))
    for t, (tree, ends) in enumerate(zip(part.trees, found, strict=True)):
        place = {n: i for i, n in enumerate(n for n, b in enumerate(tree) if b.split)}
        for n, i in place.items():
            wanted[t, i] = at[tree[n].split]
        for leaf, (n, path) in enumerate(ends):
            depth[t, 0, leaf] = len(path)
            weights[t, leaf] = tree[n].weights
            for split, sign in path:
                paths[t, place[split], leaf] = sign
    return wanted, paths, depth, weights


def _leaves(tree: tuple[Any, ...]) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
    """(leaf, its path as (split, +1 left or -1 right)) of every leaf."""
    out: list[tuple[int, tuple[tuple[int, int], ...]]] = []
    waiting: list[tuple[int, tuple[tuple[int, int], ...]]] = [(0, ())]
    while waiting:
        n, path = waiting.pop()
        if not tree[n].split:
            out.append((n, path))
            continue
        waiting += [(tree[n].left, (*path, (n, 1))), (tree[n].right, (*path, (n, -1)))]
    return out


def _linear(g: _Graph, part: Linear) -> None:
    if not part.columns:
        raise DataError("cannot_export", "this party has no column in the model")
    outputs = len(part.coefficients[0])
    values = [g.input(c, float, (ROWS, 1)) for c in part.columns]
    product = g.node(
        "MatMul", [g.node("Concat", values, axis=1), g.constant(np.array(part.coefficients, dtype=np.float64))]
    )
    offset = g.constant(np.array(part.offset, dtype=np.float64))
    if part.link is None:
        g.node("Add", [product, offset], "part")
        g.output("part", float, (ROWS, outputs))
        return
    others = g.node("Mul", [g.input("others", float, (ROWS, outputs)), g.constant(np.array([part.others]))])
    g.node("Add", [g.node("Add", [product, others]), offset], "raw")
    _linked(g, part.link, outputs)


def _linked(g: _Graph, link: str, outputs: int) -> None:
    """`raw` through the inverse of the link."""
    if link == "ovr":
        each = g.node("Sigmoid", ["raw"])
        g.node("Div", [each, g.node("ReduceSum", [each, g.constant(np.array([1]))], keepdims=1)], "score")
        g.output("raw", float, (ROWS, outputs))
        g.output("score", float, (ROWS, outputs))
        return
    op = {"identity": "Identity", "logit": "Sigmoid", "softmax": "Softmax", "log": "Exp"}[link]
    more: dict[str, Any] = {"axis": 1} if op == "Softmax" else {}
    g.node(op, ["raw"], "score", **more)
    g.output("raw", float, (ROWS, outputs))
    g.output("score", float, (ROWS, outputs))
