"""A party's own part of a model as PMML 4.4, in the columns after the party's own chain of preparing transforms.

    boosting, features party   derived fields t<tree>n<node>: "true" where a row goes left at that split
    boosting, label party      a model chain: one sum of trees for each output, then a regression that applies the link;
                               answers of other parties are text fields of the same names, "true" or "false"
    linear, a part             derived fields part_<k>
    linear, label party        a regression; the other parties' parts are the fields others_<k>

PMML as published by the Data Mining Group. A missing value goes where training sent missing values (`defaultChild`).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from parley.components.errors import DataError
from parley.components.features.binning import ColumnBins
from parley.components.serving.parts import Branch, LabelTrees, Linear, OwnSplit, Part, SideTrees

NAMESPACE = "http://www.dmg.org/PMML-4_4"
_METHOD = {"identity": "none", "logit": "logit", "softmax": "softmax", "log": "exp"}


def to_pmml(part: Part, name: str = "part") -> str:
    """The document as text; DataError `cannot_export` for a part that has no column or split."""
    root = ET.Element("PMML", {"version": "4.4", "xmlns": NAMESPACE})
    header = ET.SubElement(root, "Header", {"description": name})
    ET.SubElement(header, "Application", {"name": "parley"})
    dictionary = ET.SubElement(root, "DataDictionary")
    if isinstance(part, LabelTrees):
        _label(root, dictionary, part)
    elif isinstance(part, SideTrees):
        _sides(root, dictionary, part)
    else:
        _linear(root, dictionary, part)
    dictionary.set("numberOfFields", str(len(dictionary)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _field(dictionary: ET.Element, name: str, *, number: bool) -> None:
    if not name.isprintable():
        raise DataError("cannot_export", "a column's name holds characters that XML cannot", "rename it")
    kind = {"optype": "continuous", "dataType": "double"} if number else {"optype": "categorical", "dataType": "string"}
    ET.SubElement(dictionary, "DataField", {"name": name, **kind})


def _columns(dictionary: ET.Element, own: tuple[OwnSplit, ...]) -> list[str]:
    """Data fields of the columns that the splits use; returns their names."""
    used = {s.column.name: s.column for s in own}
    for name, column in used.items():
        _field(dictionary, name, number=column.kind == "numeric")
    return list(used)


# ---------------------------------------------------------------- boosting, label party


def _label(root: ET.Element, dictionary: ET.Element, part: LabelTrees) -> None:
    if not part.own and not part.asked:
        raise DataError("cannot_export", "the model has no split")
    fields = _columns(dictionary, part.own)
    for split in part.asked:
        _field(dictionary, split, number=False)
    fields += part.asked
    outputs, own = len(part.base), {s.name: s for s in part.own}
    classes = part.link in ("logit", "softmax")
    chain = ET.SubElement(root, "MiningModel", {"functionName": "classification" if classes else "regression"})
    _schema(chain, fields)
    segments = ET.SubElement(chain, "Segmentation", {"multipleModelMethod": "modelChain"})
    for k in range(outputs):
        segment = ET.SubElement(segments, "Segment", {"id": f"sum_{k}"})
        ET.SubElement(segment, "True")
        _sum(segment, part, own, fields, k)
    last = ET.SubElement(segments, "Segment", {"id": "link"})
    ET.SubElement(last, "True")
    raw = [f"raw_{k}" for k in range(outputs)]
    _regression(last, part.link, raw, [[1.0 if i == k else 0.0 for i in range(outputs)] for k in range(outputs)],
                [0.0] * outputs)  # fmt: skip


def _sum(parent: ET.Element, part: LabelTrees, own: dict[str, OwnSplit], fields: list[str], k: int) -> None:
    """One output's raw score: its base and the sum of all trees' leaves."""
    model = ET.SubElement(parent, "MiningModel", {"functionName": "regression"})
    _schema(model, fields)
    output = ET.SubElement(model, "Output")
    ET.SubElement(
        output,
        "OutputField",
        {"name": f"raw_{k}", "feature": "predictedValue", "dataType": "double", "optype": "continuous"},
    )
    targets = ET.SubElement(model, "Targets")
    ET.SubElement(targets, "Target", {"rescaleConstant": repr(part.base[k])})
    segments = ET.SubElement(model, "Segmentation", {"multipleModelMethod": "sum"})
    told = [t for t, tree in enumerate(part.trees) if any(b.weights and b.weights[k] for b in tree)]
    for t in told or [0]:
        segment = ET.SubElement(segments, "Segment", {"id": f"t{t}"})
        ET.SubElement(segment, "True")
        attributes = {
            "functionName": "regression",
            "missingValueStrategy": "defaultChild",
            "splitCharacteristic": "binarySplit",
        }
        made = ET.SubElement(segment, "TreeModel", attributes)
        _schema(made, fields)
        _node(made, part.trees[t], 0, ET.Element("True"), own, k)


def _node(
    parent: ET.Element, tree: tuple[Branch, ...], n: int, predicate: ET.Element, own: dict[str, OwnSplit], k: int
) -> None:
    branch = tree[n]
    node = ET.SubElement(parent, "Node", {"id": str(n)})
    node.append(predicate)
    if not branch.split:
        node.set("score", repr(branch.weights[k]))
        return
    if branch.own:
        split = own[branch.split]
        goes, default = _goes_left(split), split.left[-1]
    else:
        goes, default = _predicate(branch.split, "equal", "true"), False
    node.set("defaultChild", str(branch.left if default else branch.right))
    _node(node, tree, branch.left, goes, own, k)
    _node(node, tree, branch.right, ET.Element("True"), own, k)


def _goes_left(split: OwnSplit) -> ET.Element:
    """The predicate of the left child; a comparison with a missing value is unknown, and the default child decides."""
    column, left = split.column, split.left[:-1]
    if column.kind == "numeric":
        threshold = _threshold(split)
        if threshold is None and left[0] == split.left[-1]:
            return ET.Element("True" if left[0] else "False")
        if threshold is None:
            asked = {"field": column.name, "operator": "isNotMissing" if left[0] else "isMissing"}
            return ET.Element("SimplePredicate", asked)
        return _predicate(column.name, "lessOrEqual", repr(threshold))
    unseen = left[len(column.categories)] if column.other else split.left[-1]
    named = [c for c, goes in zip(column.categories, left, strict=False) if goes != unseen]
    return _set(column.name, named, inside=not unseen)


def _threshold(split: OwnSplit) -> float | None:
    """The greatest value that goes left, None where all values go one way; DataError for other than one cut."""
    left = split.left[:-1]
    count = sum(left)
    if count in (0, len(left)):
        return None
    if not all(left[:count]):
        raise DataError("cannot_export", f"a split of {split.column.name!r} is no single cut")
    return split.column.edges[count - 1]


def _predicate(field: str, operator: str, value: str) -> ET.Element:
    return ET.Element("SimplePredicate", {"field": field, "operator": operator, "value": value})


def _set(field: str, values: list[str], *, inside: bool) -> ET.Element:
    made = ET.Element("SimpleSetPredicate", {"field": field, "booleanOperator": "isIn" if inside else "isNotIn"})
    array = ET.SubElement(made, "Array", {"type": "string", "n": str(len(values))})
    array.text = _array(values)
    return made


def _array(values: list[str]) -> str:
    """Texts as an Array holds them: quoted, with quotes and backslashes escaped."""
    return " ".join('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)


# ---------------------------------------------------------------- boosting, features party


def _sides(root: ET.Element, dictionary: ET.Element, part: SideTrees) -> None:
    if not part.own:
        raise DataError("cannot_export", "this party owns no split of the model")
    _columns(dictionary, part.own)
    made = ET.SubElement(root, "TransformationDictionary")
    for split in part.own:
        field = _derived(made, split.name, "categorical", "string")
        choice = _apply(field, "if")
        asked = _apply(choice, "isMissing")
        ET.SubElement(asked, "FieldRef", {"field": split.column.name})
        _constant(choice, _word(split.left[-1]))
        _side(choice, split.column, split)


def _side(parent: ET.Element, column: ColumnBins, split: OwnSplit) -> None:
    """Which side a value takes that is there."""
    left = split.left[:-1]
    if column.kind == "numeric" and _threshold(split) is None:
        _constant(parent, _word(left[0]))
        return
    choice = _apply(parent, "if")
    if column.kind == "numeric":
        asked = _apply(choice, "lessOrEqual")
        ET.SubElement(asked, "FieldRef", {"field": column.name})
        ET.SubElement(asked, "Constant", {"dataType": "double"}).text = repr(_threshold(split))
        inside = True
    else:
        unseen = left[len(column.categories)] if column.other else split.left[-1]
        inside = not unseen
        asked = _apply(choice, "isIn")
        ET.SubElement(asked, "FieldRef", {"field": column.name})
        for category, goes in zip(column.categories, left, strict=False):
            if goes != unseen:
                _constant(asked, category)
    _constant(choice, _word(inside))
    _constant(choice, _word(not inside))


def _word(value: bool) -> str:
    return "true" if value else "false"


def _derived(parent: ET.Element, name: str, optype: str, kind: str) -> ET.Element:
    return ET.SubElement(parent, "DerivedField", {"name": name, "optype": optype, "dataType": kind})


def _apply(parent: ET.Element, function: str) -> ET.Element:
    return ET.SubElement(parent, "Apply", {"function": function})


def _constant(parent: ET.Element, value: str) -> None:
    ET.SubElement(parent, "Constant", {"dataType": "string"}).text = value


# ---------------------------------------------------------------- linear


def _linear(root: ET.Element, dictionary: ET.Element, part: Linear) -> None:
    if not part.columns:
        raise DataError("cannot_export", "this party has no column in the model")
    for column in part.columns:
        _field(dictionary, column, number=True)
    outputs = len(part.coefficients[0])
    if part.link is None:
        made = ET.SubElement(root, "TransformationDictionary")
        for k in range(outputs):
            total = _apply(_derived(made, f"part_{k}", "continuous", "double"), "sum")
            for column, row in zip(part.columns, part.coefficients, strict=True):
                product = _apply(total, "*")
                ET.SubElement(product, "Constant", {"dataType": "double"}).text = repr(row[k])
                ET.SubElement(product, "FieldRef", {"field": column})
            ET.SubElement(total, "Constant", {"dataType": "double"}).text = repr(part.offset[k])
        return
    if part.link == "ovr":
        raise DataError("cannot_export", "PMML has no shares of one-vs-rest scores", "export ONNX or JSON instead")
    others = [f"others_{k}" for k in range(outputs)]
    for name in others:
        _field(dictionary, name, number=True)
    rows = [[*(row[k] for row in part.coefficients), *(part.others if i == k else 0.0 for i in range(outputs))]
            for k in range(outputs)]  # fmt: skip
    _regression(root, part.link, [*part.columns, *others], rows, list(part.offset))


def _regression(
    parent: ET.Element, link: str, fields: list[str], rows: list[list[float]], intercept: list[float]
) -> None:
    """A regression table for each output; a binary one has the reference class 0 as a second, empty table."""
    classes = link in ("logit", "softmax")
    attributes: dict[str, Any] = {"functionName": "classification" if classes else "regression"}
    model = ET.SubElement(parent, "RegressionModel", {**attributes, "normalizationMethod": _METHOD[link]})
    _schema(model, fields)
    output = ET.SubElement(model, "Output")
    values = ["1", "0"] if link == "logit" else [str(k) for k in range(len(rows))]
    for k in range(len(rows)):
        shown = {"feature": "probability", "value": values[k]} if classes else {"feature": "predictedValue"}
        ET.SubElement(
            output, "OutputField", {"name": f"score_{k}", "optype": "continuous", "dataType": "double", **shown}
        )
    for k, row in enumerate(rows):
        table = ET.SubElement(model, "RegressionTable", {"intercept": repr(intercept[k])})
        if classes:
            table.set("targetCategory", values[k])
        for name, value in zip(fields, row, strict=True):
            if value:
                ET.SubElement(table, "NumericPredictor", {"name": name, "coefficient": repr(value)})
    if link == "logit":
        ET.SubElement(model, "RegressionTable", {"intercept": "0.0", "targetCategory": "0"})


def _schema(model: ET.Element, fields: list[str] | tuple[str, ...]) -> None:
    schema = ET.SubElement(model, "MiningSchema")
    for name in fields:
        ET.SubElement(schema, "MiningField", {"name": name})
