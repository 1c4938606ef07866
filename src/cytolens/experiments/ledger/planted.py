"""The inflation that is known before anything is trained: from labels and patients alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest


def planted_inflation(manifest: Manifest) -> float:
    """Return what recognising the group (patient) is worth over not knowing it, in accuracy.

    Take images that say nothing about the class but everything about the patient: phantoms with
    `class_separation = 0` and a strong `patient_effect`. Split by image, training holds other
    images of the tested patient. Who recognises the patient best names the class that most of
    these have; of image i of patient p with label y, with n_pc images of p in class c, the vote
    counts n_pc - [c = y], and of t classes tied at the top, among them y, 1 / t is right. The
    mean over all images is the patient-knower's accuracy. Split by patient, nothing is known of
    the tested patient, and no rule does better than the most frequent class. The difference is
    the inflation, at least 0: nobody has to use what is worth nothing. A patient with one image
    is unknown in both.

    With `label_patient_correlation = 1` and equal classes it is 1 - 1 / k. With
    `patient_effect = 0` nobody is recognised, and the inflation to be found is 0 whatever this
    function says. With a class signal, or patients that are recognised in part, it is a bound.

    Raises:
        InputError: images without a group.
    """
    if not manifest.has_groups:
        raise InputError(
            f"{manifest.name} has no groups: what knowing them is worth is not known.",
            expected="a `group` column with a value in each row",
        )
    names = sorted({str(row.group) for row in manifest.rows})
    place = {name: number for number, name in enumerate(names)}
    group = np.array([place[str(row.group)] for row in manifest.rows], np.int64)
    table = np.zeros((len(names), len(manifest.classes)), np.int64)
    np.add.at(table, (group, manifest.labels), 1)
    unknowing = float(table.sum(axis=0).max() / table.sum())
    right = _leave_one_out(table, group, manifest.labels, int(table.sum(axis=0).argmax()))
    return max(0.0, float(right.mean()) - unknowing)


def _leave_one_out(
    table: NDArray[np.int64], group: NDArray[np.int64], labels: NDArray[np.int64], usual: int
) -> NDArray[np.float64]:
    """Return the chance that each image is named right by the others of its group, float64 [n].

    Args:
        table: images of each group and class, int64 [groups, k].
        usual: the class named where there are no others.
    """
    votes = table[group].copy()  # [n, k]
    rows = np.arange(len(labels))
    votes[rows, labels] -= 1
    top = votes == votes.max(axis=1, keepdims=True)
    alone = votes.sum(axis=1) == 0
    right: NDArray[np.float64] = top[rows, labels] / top.sum(axis=1)
    right[alone] = labels[alone] == usual
    return right
