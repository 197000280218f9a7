"""Split training: all that a role is sent is the rows it is declared to be shown, and what else it may learn.

What is shown is written down where it is made, before it becomes a message; a simulator makes the same envelopes from
that, from the numbers of rows and from the epochs. That rows are shown at all is the declaration's red word.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cases import CASES, columns
from simulators.envelopes import seen
from simulators.nn_split import features_is_sent, label_is_sent

from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.nn import exchange, features_side, label_side
from parley.protocols.nn.messages import EpochDone

CASE = CASES["nn/split"]


class Noted:
    """One training, with the rows that each side let out in their order, by party."""

    def __init__(self, monkeypatch) -> None:
        self.batches, self.streams, self.gradients = {}, {}, {}
        learn = label_side.Learner.batch

        def gradients(learner, s, rows, given):
            out = learn(learner, s, rows, given)
            at = dict(s._path)
            for party, values in out.items():
                self.gradients.setdefault(party, {})[at["epoch"], at["batch"]] = values.copy()
            return out

        def batch(values, s, **cut):
            at = dict(s._path)
            self.batches.setdefault(s.me, {})[at["epoch"], at["batch"]] = values.copy()
            return values

        def stream(values, s, **cut):
            self.streams.setdefault(s.me, []).append(values.copy())
            return values

        monkeypatch.setattr(label_side.Learner, "batch", gradients)
        monkeypatch.setattr(features_side, "leaving", batch)
        monkeypatch.setattr(exchange, "leaving", stream)
        self.run = CASE.run(Setting(), columns())
        result = self.run["bank"].result
        losses = result["losses"]
        self.bests = [int(np.argmin(losses[: k + 1])) + 1 for k in range(len(losses))]
        held = result["validation_rows"]
        self.counts = (result["rows"] + held, result["rows"], held)

    def agrees(self, party: str) -> bool:
        *watched, final = self.streams[party]
        to_label = label_is_sent(self.batches[party], watched, final)
        to_party = features_is_sent(self.counts, self.gradients[party], self.bests)
        transcript = self.run.transcript
        return seen(transcript, party, "bank") == to_label.rows and seen(transcript, "bank", party) == to_party.rows


@pytest.mark.parametrize("party", ["bureau", "telco"])
def test_nothing_is_sent_but_what_is_declared(party, monkeypatch):
    assert Noted(monkeypatch).agrees(party)


def test_a_bit_more_is_found(monkeypatch):
    """Planted: one row's number is moved by the least that a float can be, after it was written down."""
    noted = Noted(monkeypatch)
    done = noted.run.transcript
    for k, e in enumerate(done):
        if e.address.tag == label_side.Gradients.TAG and e.address.receiver == "bureau":
            values = label_side.Gradients.decode(e.body, {}).values.copy()
            values[0, 0] = np.nextafter(values[0, 0], np.float32(9))
            done[k] = dataclasses.replace(e, body=label_side.Gradients(values).encode())
            break
    assert not noted.agrees("bureau")
    assert noted.agrees("telco")


def test_a_word_more_is_found(monkeypatch):
    """Planted: the count of epochs says something else."""
    noted = Noted(monkeypatch)
    done = noted.run.transcript
    at = next(k for k, e in enumerate(done) if e.address.tag == EpochDone.TAG and e.address.receiver == "telco")
    done[at] = dataclasses.replace(done[at], body=EpochDone(True, 0).encode())
    assert not noted.agrees("telco")


@pytest.mark.parametrize("name", ["nn/split", "nn/predict"])
def test_every_lost_message_ends_the_run(name):
    case = CASES[name]
    data = case.build()
    count = len(case.run(Setting(), data).transcript)
    ends = list(c.losses(lambda setting: case.run(setting, data), count, every=3))
    assert {None if e is None else e.code for _, when, e in ends if when == "before"} == {"peer_lost"}
