"""One neural network over columns of several parties, with labels at one of them (vertical split learning).

Ideal functionality: each party trains the layers on its own columns, and the label party those behind them, as one
network on all columns joined would be trained in the same batches. Columns, labels and weights stay where they are;
what is at the cut between the layers is shown, row by row.

Adversary: semi-honest. This protocol hides nothing by cryptography: it is for parties who may see each other's numbers
at the cut, and their policies must say so (`individual_updates` is denied unless they do).

    step  from -> to          message      carries                                          bytes
    1     label -> features   Meet         rows aligned, learnt from, watched               24
    for each epoch, for each batch:
    2     features -> label   Activations  the last own layer's values of each row          4 per row and width
    3     label -> features   Gradients    derivative of each row's loss by these           4 per row and width
    for each epoch:
    4     features -> label   Watched      the same values of the rows held out             4 per row and width
    5     label -> features   EpochDone    whether another comes, epochs of the best model  9
    6     features -> label   Final        the kept model's values of all rows              4 per row and width

Label learns every features party's values at the cut for each row in each epoch (`individual_updates`). They are
functions of that party's columns: with as many numbers in a row as there are columns, or few layers, columns can be
computed back from them. Features learns the derivative of every training row's loss in each epoch
(`individual_updates`), from which labels can mostly be read off: rows of one class lie on one side, or are longer; how
many rows there are, are learnt from and are held out (`row_count`), and how many epochs the training took and which was
best (`epochs`). Coordinator: sizes.

With `cut: noised` all that crosses the cut is clipped and gets discrete Gaussian noise from the operating system's
randomness. What that promises is told in the plan and in the result, as (epsilon, delta) by concentrated privacy of the
Gaussian mechanism, summed over messages. Neighbours are two tables that differ in one row, replaced. `row_epsilon` is
for the messages about that very row, the networks at the time taken as given; what networks trained on it carry into
the messages about other rows is bounded only by `all_epsilon`, which holds for any two tables whatsoever, and is large.
Since a submitter chooses the noise, and little of it hides nothing, it counts as `individual_updates` all the same.

Not protected: with a plain cut, columns against the label party and labels against features parties; how much the
derivatives said about labels is measured after a training (`leakage`). Weights can remember rows. Parties that pool
what they hold see what they see together.
Source: Vepakomma, Gupta, Swedish, Raskar, *Split learning for health*, 2018; Li, Sun, Yang, Gao, Zhang, Xie, Smith,
Wang, *Label leakage and protection in two-party split learning*, 2022, for the two attacks that are measured.
"""

from __future__ import annotations

from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Sizes, Step
from parley.protocols.nn.messages import CHUNK, Activations, EpochDone, Final, Gradients, Meet, Watched
from parley.protocols.nn.params import Params, check_params, figures


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows, E epochs, batches of b, w numbers a row of each features party: E n 4w each way and as much for the
    rows held out, n 4w at the end, a message a batch, and 33 bytes an epoch."""
    (label,) = cast["label"]
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    batches, chunks = -(-n // params.batch), -(-n // CHUNK) + 1
    flows = []
    for party in cast["features"]:
        size = 4 * n * params.width(party)
        flows += [
            Flow(Meet.TAG, label, party, 1, 24),
            Flow(Activations.TAG, party, label, params.epochs * batches, params.epochs * size),
            Flow(Gradients.TAG, label, party, params.epochs * batches, params.epochs * size),
            Flow(Watched.TAG, party, label, params.epochs * chunks, params.epochs * size),
            Flow(EpochDone.TAG, label, party, params.epochs, params.epochs * 16),
            Flow(Final.TAG, party, label, chunks, size),
        ]
    return flows


SPLIT = Protocol(
    "nn/split",
    version=1,
    security=SEMI_HONEST,
    summary="A neural network over columns of several parties, cut between their layers and the label party's.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("label", "features", Meet, "row_count"),
        Step("features", "label", Activations, "individual_updates", loop=("epoch", "batch")),
        Step("label", "features", Gradients, "individual_updates", loop=("epoch", "batch")),
        Step("features", "label", Watched, "individual_updates", loop=("epoch",), stream=True),
        Step("label", "features", EpochDone, "epochs", loop=("epoch",)),
        Step("features", "label", Final, "individual_updates", stream=True),
    ],
    learns={
        "label": ["individual_updates"],
        "features": ["row_count", "individual_updates", "epochs"],
        "submitter": ["losses", "leakage"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
    figures=figures,
)
SPLIT.checks.append(check_params)
