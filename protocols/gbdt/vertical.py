"""Boosted trees over columns of several parties, with labels at one of them (SecureBoost).

Ideal functionality: the label party gets the structure and leaves of the trees that `components.training.gbdt` would
grow on all columns joined; each features party gets its own splits (which of its columns, which bins go left). Nobody's
labels, derivatives, columns or bin edges are shown to anybody else.

Adversary: semi-honest; each row's derivatives are hidden from the features parties by Paillier's decisional composite
residuosity assumption, or by ring learning with errors, which also hides, up to the stated statistical distance, what
lattice answers would say beyond their sums. A histogram or direction that contradicts the label party's own sums is
refused by name.

    step  from -> to          message      carries                                          bytes
    1     features -> label   Shape        bins, kind and direction of each feature         6 per feature
    2     features -> label   Names        column names, only with share_names              names
    3     label -> features   Key          public key, rows, sums it is planned for          modulus
    for each tree (a round of K classes has one with K pairs (g, h) a row, or K trees):
    3a    label -> features   Sampled      rows of the round, only with goss                1/8 per row
    4     label -> features   Gradients    encrypted (g, h) of each sampled row             key_bits/4 per row
      for each level, or leaf-wise each best leaf:
    5     label -> features   Level        each row's open node; which nodes to sum up      2 per row
          or strict           Asked        how many nodes to sum up                         9
    5a    label -> features   NodeGradients  (g, h) of the rows of each such node, encrypted  by scheme
    6     features -> label   Histograms   encrypted sums by feature and bin                key_bits/4 per packed sums
    7     label -> features   Chosen       this party's winning splits                      10 + bins per split
    8     features -> label   Directions   which rows at these nodes go left                1/8 per row
          or strict           Sides        which of all rows go left, for each such split   1/8 per row and split
    9     label -> features   TreeDone     whether another tree comes, rounds kept          9

Of two sibling nodes only the smaller is summed; the label party subtracts. Answers are re-randomised. A scheme whose
ciphertexts can be summed over any subset of rows sends them once a tree, in step 4; one that packs rows sends each
node's apart, in step 5a, and skips 4. Strict, every scheme does so, with all sampled rows for each node: encryptions of
zero for those elsewhere, which without the key look like any other.

Label learns, for every node it asks about, the sums of its derivatives by feature and bin (`histograms`: it knows each
row's derivative, so in small nodes it can tell which row lies in which bin), the sides of a winning split of the rows
at its node (`directions`; strict, of all rows: `all_directions`), the number of features and bins (`feature_shapes`),
their names with share_names (`feature_names`).
Features learns how many rows are aligned (`row_count`), which rows sit together in the nodes of each tree
(`node_membership`: rows with like labels tend to sit together; strict, only how many nodes are summed up at each level:
`tree_shape`), its own winning splits and their places in the trees (`own_splits`: each says that the label differs
between its sides), the number of trees (`trees`), with goss which rows have large gradients, whose labels the model
finds hard, in the first rounds those of the rarer class, in each round among others that look the same but are drawn
anew (`large_gradient_rows`), and with the lattice, up to a power of two, how many sums the party with the most answers
with, and how many features share a part of an answer (`planned_sums`). Coordinator: sizes.

Not protected: in fast training, what the trees' structure says about the label, against a features party that studies
it; own_trees, whose structure nobody else sees, take away from that once they have explained most of the label, and few
of them next to nothing. In every training, what a features party's own splits say of the label on its own columns,
which can be much; and anything against parties that pool what they hold. How much the view of each features party says
about the labels is measured after a training (`leakage`).
Source: Cheng, Fan, Jin, Liu, Chen, Papadopoulos, Yang, *SecureBoost*, 2019; Chen & Guestrin, *XGBoost*, 2016.
"""

from __future__ import annotations

from parley.protocols import scheme
from parley.protocols.gbdt import planning
from parley.protocols.gbdt.messages import (
    CHUNK,
    NAME_BYTES,
    Asked,
    Chosen,
    Directions,
    Gradients,
    Histograms,
    Key,
    Level,
    Names,
    NodeGradients,
    Sampled,
    Shape,
    Sides,
    TreeDone,
)
from parley.protocols.gbdt.params import Params, check_params
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Sizes, Step
from parley.protocols.pieces import pieces_of


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows of which a tree learns from m, T trees that ask, S steps a tree (depth D, or leaves - 1), N nodes
    summed up (2^(D-1), or leaves - 1), B = bins + 1, F features: levels T S 2n and up; directions T S n/8; splits
    T 2N B; rows chosen by gradient n/8 a round; and ciphertexts of T m rows at once, or of at most T m (D+1)/2 by node,
    and of T N F B sums, weighed by the scheme: key_bits/4 a row and a packed group of sums, or blocks and replies.
    Strict: T N m rows, no levels, and directions of all rows, T 2N n/8.
    """
    (label,) = cast["label"]
    terms, columns = _expected(params, cast, sizes)
    n, trees = terms.rows, params.asking
    m, levels, batches = params.learnt_from(n), trees * params.steps, trees * params.builds
    packs = scheme.packs(params.scheme)
    by_node = packs or params.strict
    passes = min(params.depth + 1, params.builds + 1)  # halves: a summed node has at most half of its parent's rows
    rows = batches * m if params.strict else trees * m * passes // 2 if by_node else trees * m
    flows = []
    for party in cast["features"]:
        kinds = 1 if packs else min(columns[party], params.bins + 1)
        with told():
            sums = batches * columns[party] * (params.bins + 1)
            weight = scheme.weigh(terms, rows, batches, sums, batches * kinds)
        gradients = NodeGradients if by_node else Gradients
        chunks = -(-m // CHUNK) * (batches if params.strict else trees)
        whole = chunks + pieces_of(weight.gradients, batches + levels + trees)
        flows += [
            Flow(Key.TAG, label, party, 1, weight.key),
            Flow(Shape.TAG, party, label, 1, 6 * columns[party]),
            Flow(gradients.TAG, label, party, whole, weight.gradients),
            Flow(Histograms.TAG, party, label, pieces_of(weight.answers, batches * kinds + levels), weight.answers),
            Flow(Chosen.TAG, label, party, levels, trees * (params.splits + 1) * (11 + params.bins)),
            Flow(TreeDone.TAG, label, party, params.trees * params.apart, params.trees * params.apart * 16),
        ]
        if params.strict:
            flows.append(Flow(Asked.TAG, label, party, levels, levels * 9))
            flows.append(Flow(Sides.TAG, party, label, levels, trees * params.splits * (n // 8 + 1)))
        else:
            flows.append(Flow(Level.TAG, label, party, levels, levels * 2 * n + trees * 4 * params.builds))
            flows.append(Flow(Directions.TAG, party, label, levels, levels * (n // 8 + 1)))
        if params.goss is not None:
            rounds = params.trees - params.own_trees
            flows.append(Flow(Sampled.TAG, label, party, rounds, rounds * (n // 8 + 1)))
        if params.share_names:
            flows.append(Flow(Names.TAG, party, label, 1, columns[party] * (NAME_BYTES + 16)))
    return flows


def _expected(params: Params, cast: Cast, sizes: Sizes) -> tuple[scheme.Terms, dict[str, int]]:
    """What a plan can know of a key: terms of at most so many rows and sums; and columns of each features party."""
    rows = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    columns = {p: sizes.columns.get(p, 4096) for p in cast["features"]}
    return scheme.Terms(
        params, rows, planning.planned(params, [(params.bins + 1,) * n for n in columns.values()])
    ), columns


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the lattice's answers may say beyond their sums; the parameters follow once the parties' shapes are told."""
    if not scheme.packs(params.scheme):
        return []
    with told():
        plan = _expected(params, cast, sizes)[0].plan()
    return [
        f"lattice, {plan.profile.name} or narrower: over the whole training, answers say nothing beyond their sums "
        f"up to a statistical distance of 2^-{params.statistical_bits}"
    ]


TREE, LEVEL = ("tree",), ("tree", "level")
VERTICAL = Protocol(
    "gbdt/vertical",
    version=3,
    security=SEMI_HONEST,
    summary="Boosted trees over columns of several parties, labels at one of them.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "label", Shape, "feature_shapes"),
        Step("features", "label", Names, "feature_names"),
        Step("label", "features", Key, "row_count"),
        Step("label", "features", Sampled, "large_gradient_rows", TREE),
        Step("label", "features", Gradients, "row_count", TREE, stream=True),
        Step("label", "features", Level, "node_membership", LEVEL),
        Step("label", "features", Asked, "tree_shape", LEVEL),
        Step("label", "features", NodeGradients, "row_count", LEVEL, stream=True),
        Step("features", "label", Histograms, "histograms", LEVEL, stream=True),
        Step("label", "features", Chosen, "own_splits", LEVEL),
        Step("features", "label", Directions, "directions", LEVEL),
        Step("features", "label", Sides, "all_directions", LEVEL),
        Step("label", "features", TreeDone, "trees", TREE),
    ],
    learns={
        "label": ["model", "histograms", "directions", "all_directions", "feature_shapes", "feature_names"],
        "features": [
            "row_count",
            "node_membership",
            "tree_shape",
            "own_splits",
            "trees",
            "planned_sums",
            "large_gradient_rows",
        ],
        "coordinator": ["sizes"],
    },
    when={
        "features.node_membership": ("disclosure", "fast"),
        "features.tree_shape": ("disclosure", "strict"),
        "label.directions": ("disclosure", "fast"),
        "label.all_directions": ("disclosure", "strict"),
        "features.large_gradient_rows": ("goss",),
        "features.planned_sums": ("scheme", "lattice"),
        "label.feature_names": ("share_names",),
    },
    params=Params,
    cost=cost,
    figures=figures,
)
VERTICAL.checks.append(check_params)
