"""How the model was made, in words: from the recipe's regime, classifier and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import counted

_LOSSES = {
    "cross_entropy": "cross-entropy",
    "binary_cross_entropy": "binary cross-entropy",
    "mse": "the mean squared error",
}
CONTRASTIVE_LOSSES = {
    "supcon": "supervised contrastive loss (SupCon)",
    "ntxent": "NT-Xent loss",
    "triplet": "triplet margin loss",
    "npairs": "multi-class N-pairs loss",
}
_FROZEN = {
    "all": "is frozen: only the head is trained",
    "none": "is trained with the head",
}


def classifier(run: RunFolder) -> str:
    """Return the kind of the classical classifier; "" where the network is trained."""
    kind = str(_table(run, "classifier").get("kind", "none"))
    return "" if kind == "none" else kind


def classifier_features(run: RunFolder) -> str:
    """Return the kind of features that the classical classifier is fitted on."""
    return str(_table(run, "classifier").get("features", "deep"))


def needs_weights(run: RunFolder) -> bool:
    """Return whether a network's weights take part in the run."""
    if members(run):
        return False
    return not classifier(run) or classifier_features(run) == "deep"


def members(run: RunFolder) -> list[str]:
    """Return the names of the runs that an ensemble was made of; empty where it is none."""
    return [str(name) for name in _table(run, "fusion").get("members") or []]


def regime(run: RunFolder) -> str:
    """Return the regime of the training; "" for a classical classifier or without a recipe."""
    if classifier(run) or "training" not in run.recipe:
        return ""
    return str(_table(run, "training").get("regime", "finetune"))


def chosen_on_test(run: RunFolder) -> bool:
    """Return whether the test part chose the epoch, in the place of the validation part."""
    return bool(regime(run)) and _table(run, "training").get("choose_on") == "test"


def draws_views(run: RunFolder) -> bool:
    """Return whether training looks at augmented views of its images (true without a recipe)."""
    if classifier(run):
        return False
    return bool(_table(run, "training").get("views", 0 if "training" in run.recipe else 1) != 0)


def method(run: RunFolder) -> list[str]:
    """Return the method in sentences; empty where the recipe does not say it."""
    if members(run):
        return [*_fused(run), *_decision(run)]
    if classifier(run):
        return [*_classical(run), *_decision(run)]
    if not regime(run):
        return []
    return [*_trained(run), *_decision(run), *_chosen(run)]


def cost_matrix(run: RunFolder) -> str:
    """Return the name of the recipe's cost matrix; "" where it is written out or not known."""
    name = _table(run, "cost").get("matrix", "")
    return name if isinstance(name, str) else ""


def without_effect(run: RunFolder) -> set[str]:
    """Return the tables and keys ("cost", "cost.loss_weight") that change nothing in this run."""
    unused = set()
    if classifier(run):
        unused |= {"training", "contrastive"}
        if _table(run, "expand").get("when", "never") == "never":
            unused.add("augment")
        if classifier_features(run) != "deep":
            unused |= {"model", "features"}
    else:
        unused.add("classifier")
        if regime(run) != "contrastive":
            unused.add("contrastive")
    cost = _table(run, "cost")
    asks = cost.get("matrix", "none") != "none" or cost.get("decision") == "cheapest"
    if regime(run) != "cost_sensitive":
        unused |= {"cost.class_weights", "cost.loss_weight"} if asks else {"cost"}
    return unused


def _table(run: RunFolder, name: str) -> Mapping[str, Any]:
    found = run.recipe.get(name)
    return found if isinstance(found, Mapping) else {}


def _fused(run: RunFolder) -> Iterator[str]:
    names = members(run)
    way = str(_table(run, "fusion").get("method", "")).replace("_", " ")
    yield (
        f"An ensemble: the test predictions of {counted(len(names), 'run')} "
        f'({", ".join(names)}) made into one, by the method "{way}". Nothing is trained or fitted '
        "for it."
    )


def _classical(run: RunFolder) -> Iterator[str]:
    if classifier_features(run) == "none":
        yield (
            f'No image is looked at: the classifier "{classifier(run)}" answers with the shares '
            "of the classes in the training part. It shows what any number is worth."
        )
        return
    if classifier_features(run) == "deep":
        source = f"the features of the frozen backbone ({_backbone(run)})"
    else:
        source = f'"{classifier_features(run)}" features of the image, without a neural network'
    name = classifier(run)
    yield f'A classical classifier, "{name}", is fitted on {source}. No network is trained.'


def _trained(run: RunFolder) -> Iterator[str]:
    training, model = _table(run, "training"), _table(run, "model")
    freeze = model.get("freeze", "all")
    kept = _FROZEN.get(str(freeze), f"is frozen up to a boundary ({freeze}) and trained above it")
    if model:
        yield f"The backbone, {_backbone(run)}, {kept}."
    loss = _LOSSES.get(str(training.get("loss")), str(training.get("loss", "")))
    if regime(run) == "contrastive":
        stage = _table(run, "contrastive")
        name = CONTRASTIVE_LOSSES.get(str(stage.get("loss")), str(stage.get("loss", "")))
        yield (
            f"Contrastive training, in two stages. First the encoder is trained with the {name} "
            f"for {counted(int(stage.get('epochs', 0)), 'epoch')}: images of a class are pulled "
            "together, images of other classes pushed apart. Then the encoder is frozen, and a "
            f"softmax classifier is trained on it with {loss}."
        )
    elif regime(run) == "cost_sensitive":
        yield f"Cost-sensitive training: {loss}{_weighted(run)}."
    elif loss:
        yield f"The loss is {loss}; in training every image and every error counts alike."


def _weighted(run: RunFolder) -> str:
    cost = _table(run, "cost")
    weights, share = cost.get("class_weights", "balanced"), cost.get("loss_weight", 1.0)
    said = []
    if weights == "balanced":
        said.append("each class weighs n / (k · n_c), so that rare classes count as much as others")
    elif weights != "none":
        said.append("the classes weigh as the recipe says")
    if cost.get("matrix", "none") != "none" and share:
        said.append(f"the expected cost of the answer is added to it, {share:g} times")
    return f"; {'; '.join(said)}" if said else ", without class weights and without a cost matrix"


def _decision(run: RunFolder) -> Iterator[str]:
    if _table(run, "cost").get("decision") == "cheapest":
        yield (
            "Beside the most probable class, the class of least expected cost is reported as a "
            "second decision."
        )


def _chosen(run: RunFolder) -> Iterator[str]:
    if chosen_on_test(run):
        yield (
            "The epoch was chosen by the test part itself: the mistake is repeated here on "
            "purpose, and every number is too high for it."
        )


def _backbone(run: RunFolder) -> str:
    model = _table(run, "model")
    weights = model.get("weights", "")
    name = str(model.get("backbone", "not named"))
    known = {"random": ", random weights", "imagenet": ", ImageNet weights"}
    return name + known.get(str(weights), "")
