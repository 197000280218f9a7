"""The two sides of a gradient of a linear model: what the partner encrypts of its part of the scores, and what the
owner of the columns multiplies that by.

The owner has columns x and a part u of the scores, the partner a part v, one of them the labels. The owner's gradient
sum_i x_i h(u_i + v_i, y_i) is a sum over `vectors` of products of a function of v (and y) with a function of u (and y)
and x, and a term that the owner has alone. An owner with labels gets the loss of the rows the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from parley.components.training.linear import COLUMN_BITS, Fixed, Floats, Ints, Pair, Words, waves


def _whole(values: Floats, bits: int) -> Words:
    return np.rint(values * 2.0**bits).astype(np.int64).view(np.uint64)


def count(fixed: Fixed, *, labels: bool) -> int:
    """How many vectors a partner with or without the labels encrypts."""
    family, both = fixed.family, 2 * fixed.family.order
    if family.kind == "linear":
        return 1 if labels else 1 + both
    if not labels:
        return both
    labelled = family.slope.labelled
    return both * (waves(family.slope.free) + waves(labelled)) + (labelled.constant != 0)


@dataclass(frozen=True)
class Partner:
    """`part` (n,) of the scores, and labels (n,) in the model's scale if it has them."""

    fixed: Fixed
    part: Words = field(repr=False)
    labels: Floats | None = field(repr=False)

    def vectors(self) -> Words:
        """(count, n) ring elements to be encrypted."""
        fixed, slope = self.fixed, self.fixed.family.slope
        if fixed.family.kind == "linear":
            if self.labels is not None:
                return (self.part - _whole(self.labels, fixed.score_bits))[None]
            return np.concatenate([self.part[None], fixed.ring(fixed.values(self.part))])
        values = fixed.values(self.part)
        if self.labels is None:
            return fixed.ring(values)
        found = [fixed.ring(values)] if waves(slope.free) else []
        if waves(slope.labelled):
            found.append(fixed.ring(self.labels * values))
        if slope.labelled.constant:
            found.append(fixed.ring(self.labels)[None])
        return np.concatenate(found)


class Owner:
    """The owner of `columns` (n, F) with `part` (n,) of the scores, and labels if it has them: then the loss is one
    column more, the last."""

    def __init__(self, fixed: Fixed, columns: Ints, part: Words, labels: Floats | None) -> None:
        self._fixed, self._columns, self._part, self._labels = fixed, columns, part, labels
        self._linear = fixed.family.kind == "linear"
        values = fixed.values(part) if labels is not None or not self._linear else np.empty((0, part.size))
        if labels is not None:
            self._slope = self._joined(values, fixed.family.slope)
            self._loss: Floats | None = self._joined(values, fixed.family.loss)
        else:
            self._slope, self._loss = self._apart(values), None

    def _joined(self, values: Floats, pair: Pair) -> Floats:
        """(2 order, n) against the partner's values, labels being here."""
        assert self._labels is not None
        free, labelled = (self._fixed.against(values, s) for s in (pair.free, pair.labelled))
        joined: Floats = free + self._labels * labelled
        return joined

    def _apart(self, values: Floats) -> Floats:
        """(count, n) against the partner's vectors, labels being there."""
        if self._linear:
            return np.ones((1, self._part.size))
        slope = self._fixed.family.slope
        found = [self._fixed.against(values, s) for s in (slope.free, slope.labelled) if waves(s)]
        if slope.labelled.constant:
            found.append(np.full((1, self._part.size), slope.labelled.constant))
        return np.concatenate(found)

    @property
    def width(self) -> int:
        """Columns of the product: one for each gradient, and the loss."""
        return int(self._columns.shape[1]) + (self._labels is not None)

    def factors(self, start: int, stop: int) -> Ints:
        """(stop - start, n, width) for these of the partner's vectors."""
        if self._loss is None:
            if self._linear:
                return self._columns[None]
            return self._factors(self._slope[start:stop], self._columns)
        if not self._linear:
            loss = self._factors(self._loss[start:stop], None)
            return np.concatenate([self._factors(self._slope[start:stop], self._columns), loss], axis=2)
        # The score itself comes first, and counts for the gradient only; its waves are for the loss only.
        out = np.zeros((stop - start, self._columns.shape[0], self.width), dtype=np.int64)
        if start == 0:
            out[0, :, :-1] = self._columns
        first = max(start, 1)
        if stop > first:
            out[first - start :, :, -1:] = self._factors(self._loss[first - 1 : stop - 1], None)
        return out

    def _factors(self, functions: Floats, columns: Ints | None) -> Ints:
        return self._fixed.factors(functions, columns, labels=self._labels is not None)

    def alone(self) -> Words:
        """(width,) what the owner adds without the partner."""
        fixed, family, y = self._fixed, self._fixed.family, self._labels
        if self._linear:
            own = self._part if y is None else self._part - _whole(y, fixed.score_bits)
            sums = (self._columns.view(np.uint64) * own[:, None]).sum(axis=0, dtype=np.uint64)
        else:
            sums = self._constants(family.slope, self._columns)
        whole: Words = sums if y is None else np.concatenate([sums, self._constants(family.loss, None)])
        return whole

    def _constants(self, pair: Pair, columns: Ints | None) -> Words:
        """The terms without a wave, summed; the partner multiplies the labels' where it has them."""
        level = np.full(self._part.size, pair.free.constant)
        if self._labels is not None:
            level = level + self._labels * pair.labelled.constant
        whole = self._factors(level[None], columns)[0].sum(axis=0)
        shifted: Words = (whole << self._fixed.value_bits).view(np.uint64)
        return shifted

    def read(self, sums: Words) -> tuple[Floats, float]:
        """Gradients (F,) summed over the rows and the loss, from the partner's product and `alone` together."""
        whole = sums.view(np.int64).astype(np.float64)
        wide = self._fixed.factor_bits(self._labels is not None) + self._fixed.value_bits
        bits = COLUMN_BITS + self._fixed.score_bits if self._linear else wide
        gradient: Floats = whole[: self._columns.shape[1]] * 2.0**-bits
        return gradient, float(whole[-1] * 2.0**-wide) if self._labels is not None else 0.0
