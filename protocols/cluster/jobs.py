"""Binds k-means to datasets: which columns count, what a member keeps, what the submitter is told."""

from __future__ import annotations

import numpy as np

from parley.components.features.values import numbers
from parley.components.training.kmeans import column_limit, fixed, told_sizes
from parley.protocols.cluster.kmeans import KMEANS, Held, Params, aggregator, member
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.prep.columns import check_columns, chosen, number
from parley.wire.errors import ParleyError


def _held(s: Session, inputs: StepInputs) -> tuple[Frame, list[str], Held]:
    p, frame = s.params, frame_of(inputs, s.me)
    names = chosen(p, s.me, frame.table, number)
    if not names:
        raise ParleyError("no_columns", f"{s.me} has no column of numbers that counts.", "Name some under columns.")
    most = column_limit(len(s.cast["member"]), p.max_value, p.fraction_bits)
    if len(names) > most:
        hint = "Lower max_value or fraction_bits, or choose columns."
        raise ParleyError("too_many_columns", f"At most {most} columns of {s.me} fit the fixed point.", hint)
    if int(frame.training.sum()) < p.clusters:
        raise ParleyError("too_few_rows", "There are fewer training rows than clusters.", "Ask for fewer clusters.")
    with told():
        rows = np.stack([fixed(numbers(frame.table, c), p.max_value, p.fraction_bits, c) for c in names], axis=1)
    return frame, names, Held(rows, frame.training)


@KMEANS.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps `clusters` (n,) of the frame's rows and `centres` (k, d) in its own `columns`; one tells the sizes."""
    frame, names, held = await s.compute(_held, s, inputs)
    found, p = await member(s, held), s.params
    keep = {
        "clusters": found.clusters,
        "centres": found.centres * 2.0**-p.fraction_bits,
        "columns": names,
        "begun": frame.rows[np.flatnonzero(frame.training)[found.begun]],
    }
    first = s.me == s.cast["member"][0]
    sizes = told_sizes(found.clusters, p.clusters, p.min_cell) if first else []
    return StepOutputs(keep=frame.keep() | keep, result={"cluster_sizes": sizes} if first else {})


@KMEANS.job("aggregator")
async def aggregator_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Has no data and keeps none; tells the inertia, of the best start, over the training rows."""
    found = await aggregator(s)
    inertia = found.inertia / 4**s.params.fraction_bits
    return StepOutputs(result={"inertia": inertia, "start": found.start, "rounds": found.rounds})


def _check_params(params: Params, cast: Cast) -> None:
    if len(cast["member"]) < 2:
        raise ParleyError("bad_roles", "k-means over columns needs two members or more.")
    check_columns(params, Cast({"member": cast["member"]}))
    if column_limit(len(cast["member"]), params.max_value, params.fraction_bits) < 1:
        raise ParleyError("bad_parameters", "max_value and fraction_bits leave no room for a distance.")


KMEANS.checks.append(_check_params)
