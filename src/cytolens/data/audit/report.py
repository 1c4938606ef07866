"""The audit: what a set of images holds, and what in it would make a number wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from cytolens.data.audit.advice import advise
from cytolens.data.audit.artefacts import find_artefacts
from cytolens.data.audit.crossing import find_leaks, pairs_across
from cytolens.data.audit.siblings import augmented_names, find_siblings
from cytolens.data.audit.sizes import describe_sizes
from cytolens.data.duplicates import exact_pairs, near_pairs
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest


def audit(
    manifest: Manifest,
    facts: Facts,
    problems: Mapping[str, str],
    split: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of `audit.json` (docs/architecture.md, "Audit").

    Args:
        manifest: the images.
        facts: what the scan saw, in manifest order.
        problems: {id: reason} of images that cannot be used; they are left out of everything
            that looks at pixels.
        split: the content of split.json; adds `leaks`.

    Raises:
        InputError: the split names images that the manifest does not have.
    """
    usable = np.array([name not in problems for name in manifest.ids], dtype=bool)
    exact = exact_pairs(facts)
    same = set(exact)
    near = [pair for pair in near_pairs(facts) if pair[:2] not in same]
    near_rows = [(i, j) for i, j, _ in near]
    siblings = find_siblings(manifest, facts)
    ids, counts = manifest.ids, manifest.counts()
    known = [n for n in counts.values() if n]
    found: dict[str, Any] = {
        "name": manifest.name,
        "images": len(manifest),
        "classes": counts,
        "imbalance": max(known) / min(known) if known else None,
        "groups": _groups(manifest),
        "sizes": describe_sizes(facts.sizes[usable]),
        "problems": dict(problems),
        "duplicates": {
            "exact": [[ids[i], ids[j]] for i, j in exact],
            "near": [[ids[i], ids[j], round(score, 4)] for i, j, score in near],
            "across_labels": pairs_across(manifest, exact + near_rows, "label"),
            "across_groups": pairs_across(manifest, exact + near_rows, "group"),
        },
        "siblings": siblings,
        "artefacts": find_artefacts(manifest, facts, usable),
        "leaks": [],
    }
    if split is not None:
        pairs = {"exact duplicate": exact, "near duplicate": near_rows}
        found["leaks"] = find_leaks(manifest, split, pairs, siblings)
    found["warnings"] = advise(found, len(augmented_names(manifest)))
    return found


def _groups(manifest: Manifest) -> dict[str, Any]:
    if not manifest.has_groups:
        return {"present": False, "count": 0, "largest": 0, "mixed_labels": []}
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for row in manifest.rows:
        labels[str(row.group)].append(row.label)
    return {
        "present": True,
        "count": len(labels),
        "largest": max(len(rows) for rows in labels.values()),
        "mixed_labels": [name for name, rows in labels.items() if len(set(rows)) > 1],
    }
