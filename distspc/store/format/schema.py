"""Every stored variable, once: dimensions, data type, unit and one line of prose.

Dimensions are singular. `image` runs over all good images in pool order (targets by natural order, then fillers);
`target` over the targets alone; `neighbour` over the k nearest, nearest first; `batch` over training batches.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

StorePath = str | os.PathLike[str]

IMAGES, SKIPPED, LISTING, ACTIVATIONS = "images", "skipped", "listing", "activations"
SCALING, DISTANCES, RECONSTRUCTION = "scaling", "distances", "reconstruction"
MEASURES, REFERENCES = "measures", "references"
SCORES, RELATIONS, MODELS, COMPARISONS = "scores", "relations", "models", "comparisons"
GRAM, PREDICTED, READOUT = "gram", "predicted", "readout"
RELIABILITY, WITHIN, WITHIN_MEAN, MIXED = "reliability", "within", "within_mean", "mixed"
NEW_IMAGES = "new_images"
"""Names of the groups; a layer's activations are in a group of ``activations``, its moments in one of ``scaling``;
each further measure is in a group of ``measures``, and what it compares new images with in one of ``references``."""

BY_LAYER = (ACTIVATIONS, SCALING)
"""Groups that have a group for every layer."""

NESTED = (*BY_LAYER, MEASURES, REFERENCES)
"""Groups that hold groups in place of variables."""

TABLES = (RELATIONS, MODELS, COMPARISONS, READOUT, RELIABILITY, WITHIN, WITHIN_MEAN, MIXED)
"""Groups that are tables, a variable per column."""

WITH_LAYERS = (DISTANCES, RECONSTRUCTION, RELATIONS, COMPARISONS, GRAM, PREDICTED, READOUT, WITHIN, WITHIN_MEAN, MIXED)
"""Groups whose variables or rows are of layers."""


@dataclass(frozen=True)
class Variable:
    """One array of a group: what it is and how it is laid out."""

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"
    added: bool = False
    """Whether stores have been written without it: these are complete as they are."""
    is_path: bool = False
    """Whether it is of paths, which are kept from the folder of the store where they are near it."""


def scaled(variable: Variable, recipe: Mapping[str, Any]) -> Variable:
    """Give a variable in units of activation its unit where the recipe of its group has features standardised."""
    standardised = recipe.get("scaling") == "z-score" and variable.units.startswith("activation")
    return (
        replace(variable, units=variable.units.replace("activation", "standard deviation"))
        if standardised
        else variable
    )


_IMAGE = Variable(("image",), "str", "image id: the role's folder name and the file stem")

GROUPS: dict[str, dict[str, Variable]] = {
    IMAGES: {
        "image": _IMAGE,
        "role": Variable(("image",), "str", "target or filler"),
        "number": Variable(("image",), "int64", "number of the image among its role's files, from 1"),
        "file": Variable(("image",), "str", "path of the image file, from the folder of the store", is_path=True),
        "width": Variable(("image",), "int64", "width of the decoded image", "pixel"),
        "height": Variable(("image",), "int64", "height of the decoded image", "pixel"),
        "digest": Variable(("image",), "str", "SHA-256 of the file's bytes"),
        "nbytes": Variable(("image",), "int64", "size of the file", "byte"),
        "modified": Variable(("image",), "int64", "modification time of the file since the epoch", "ns"),
        "category": Variable(("image",), "str", "category of the image, empty where none was given"),
        "remarks": Variable(("image",), "str", "what was converted or is odd in its pixels, by comma", added=True),
    },
    SKIPPED: {
        "file": Variable(("skipped",), "str", "path of a file that could not be used", is_path=True),
        "role": Variable(("skipped",), "str", "target or filler"),
        "reason": Variable(("skipped",), "str", "why the file could not be used"),
        "number": Variable(("skipped",), "int64", "number that the image has among its role's files, from 1"),
        "nbytes": Variable(("skipped",), "int64", "size of the file, -1 where it cannot be told", "byte"),
        "modified": Variable(("skipped",), "int64", "modification time of the file since the epoch, or -1", "ns"),
    },
    LISTING: {
        "image": Variable(("listed",), "str", "id of an image that is to be looked at"),
        "role": Variable(("listed",), "str", "target or filler"),
        "number": Variable(("listed",), "int64", "number of the image among its role's files, from 1"),
        "file": Variable(("listed",), "str", "path of the image file"),
    },
    ACTIVATIONS: {
        "image": _IMAGE,
        "activation": Variable(("image", "feature"), "float32", "activation, flattened in C order"),
        "source": Variable(
            ("image",),
            "int16",
            "store that the activation was taken from, by its position in `taken_from`",
            added=True,
        ),
    },
    SCALING: {
        "mean": Variable(("feature",), "float64", "mean of the feature over all images", "activation"),
        "sd": Variable(
            ("feature",), "float64", "standard deviation of the feature over all images (ddof 0)", "activation"
        ),
    },
    DISTANCES: {
        "layer": Variable(("layer",), "str", "network layer"),
        "target": Variable(("target",), "str", "image id of the target"),
        "image": _IMAGE,
        "distance": Variable(
            ("layer", "target", "neighbour"),
            "float64",
            "distance to the k-th nearest neighbour",
            "activation",
        ),
        "neighbour_index": Variable(
            ("layer", "target", "neighbour"), "int64", "position of that neighbour among the images, from 0"
        ),
        "mean_distance": Variable(
            ("layer", "target"), "float64", "mean distance to the k nearest neighbours", "activation"
        ),
        "pool_distance": Variable(
            ("layer", "target"), "float64", "mean distance to all other images (the comparison set)", "activation"
        ),
        "norm": Variable(("layer", "image"), "float64", "L2 norm of the activation", "activation"),
        "duplicate_of": Variable(
            ("layer", "image"), "int64", "position of the first image with the same activation, -1 if this is the first"
        ),
        "n_rescored": Variable(("layer",), "int64", "pairs whose distance was computed again in float64"),
        "bytes_read": Variable(("layer",), "int64", "bytes of activations read", "byte"),
    },
    RECONSTRUCTION: {
        "layer": Variable(("layer",), "str", "network layer"),
        "seed": Variable(("seed",), "int64", "seed of the random generator"),
        "image": _IMAGE,
        "error": Variable(
            ("layer", "seed", "image"),
            "float64",
            "reconstruction error (MSE over the sampled units; activations scaled by their 95th percentile)",
        ),
        "sampled_unit": Variable(("layer", "seed", "unit"), "int64", "feature index of the sampled unit"),
        "dictionary": Variable(
            ("layer", "seed", "unit", "codeword"),
            "float64",
            "dictionary after training; a codeword is an atom (basis function)",
        ),
        "training_error": Variable(("layer", "seed", "batch"), "float64", "mean squared residual of the batch"),
        "n_steps": Variable(("layer", "seed", "batch"), "int64", "iterations of the batch"),
        "converged": Variable(("layer", "seed", "batch"), "bool", "whether the batch's sparse code converged"),
        "scale": Variable(
            ("layer", "seed"),
            "float64",
            "95th percentile of the sampled activations, which they were divided by",
            "activation",
        ),
        "encode_steps": Variable(("layer", "seed"), "int64", "iterations of the code of all images"),
        "encode_converged": Variable(("layer", "seed"), "bool", "whether the sparse code of all images converged"),
        "n_shortened": Variable(
            ("layer", "seed"), "int64", "batches whose step was shortened to be stable", added=True
        ),
        "smallest_step": Variable(("layer", "seed"), "float64", "shortest step size of the batches", added=True),
        "encode_step": Variable(("layer", "seed"), "float64", "step size of the code of all images", added=True),
        "unit_mean": Variable(
            ("layer", "seed", "unit"),
            "float64",
            "mean that was taken off the scaled unit before it was encoded: one of all units, or with pca its own",
            added=True,
        ),
    },
    MEASURES: {  # and the columns of the measure, which it names itself
        "layer": Variable(("layer",), "str", "network layer"),
        "seed": Variable(("seed",), "int64", "seed of the random generator"),
        "image": _IMAGE,
    },
    REFERENCES: {},  # all of it named by the measure
    GRAM: {
        "layer": Variable(("layer",), "str", "network layer"),
        "target": Variable(("target",), "str", "image id of the target"),
        "other_target": Variable(("other_target",), "str", "image id of a target"),
        "gram": Variable(
            ("layer", "target", "other_target"), "float64", "inner product of two targets' activations", "activation^2"
        ),
    },
    PREDICTED: {
        "layer": Variable(("layer",), "str", "network layer"),
        "score": Variable(("score",), "str", "name of the score, as its column"),
        "target": Variable(("target",), "str", "image id of the target"),
        "prediction": Variable(
            ("layer", "score", "target"), "float64", "score predicted by a linear readout of the images of other folds"
        ),
        "baseline": Variable(
            ("layer", "score", "target"), "float64", "mean score of the images of other folds, which it was fitted to"
        ),
        "penalty": Variable(
            ("layer", "score", "fold"),
            "float64",
            "ridge penalty chosen without the fold, over the mean squared distance of activations from their mean",
        ),
    },
    READOUT: {
        "kind": Variable(("readout",), "str", "what is read: activations, measures (all together) or prediction"),
        "name": Variable(("readout",), "str", "the measures, comma-separated, or the column of predictions"),
        "layer": Variable(("readout",), "str", "network layer, or all"),
        "score": Variable(("readout",), "str", "score column"),
        "n": Variable(("readout",), "int64", "number of images"),
        "n_missing": Variable(("readout",), "int64", "number of images excluded for a missing value"),
        "r": Variable(
            ("readout",),
            "float64",
            "correlation of the score with its predictions, each less the mean of the images fitted to",
        ),
        "ci_low": Variable(("readout",), "float64", "lower limit of its 95 % bootstrap CI over images"),
        "ci_high": Variable(("readout",), "float64", "upper limit of its 95 % bootstrap CI over images"),
        "r2": Variable(("readout",), "float64", "cross-validated R^2"),
        "penalty": Variable(
            ("readout",),
            "float64",
            "median ridge penalty of the folds, over the mean squared distance of features from their mean",
        ),
        "n_folds": Variable(("readout",), "int64", "number of folds"),
    },
    SCORES: {
        "score": Variable(("score",), "str", "name of the score, as its column"),
        "target": Variable(("target",), "str", "image id of the target"),
        "value": Variable(("score", "target"), "float64", "score of the target, missing where there is none"),
    },
    RELIABILITY: {
        "score": Variable(("reliable",), "str", "name of the score"),
        "n_subjects": Variable(("reliable",), "int64", "number of subjects"),
        "n_responses": Variable(("reliable",), "int64", "number of responses to the targets"),
        "n_images": Variable(("reliable",), "int64", "number of targets that have the score"),
        "reliability": Variable(("reliable",), "float64", "split-half reliability over subjects (Spearman-Brown)"),
        "ci_low": Variable(("reliable",), "float64", "lower limit of its 95 % CI, over resamples of the images"),
        "ci_high": Variable(("reliable",), "float64", "upper limit of its 95 % CI, over resamples of the images"),
        "half_r": Variable(("reliable",), "float64", "mean correlation between two halves of the subjects"),
        "half_sd": Variable(("reliable",), "float64", "its standard deviation over the random halves"),
        "n_halves": Variable(("reliable",), "int64", "number of random halves"),
        "used": Variable(
            ("reliable",), "float64", "reliability that noise ceilings rest on: of the study, else split-half"
        ),
    },
    RELATIONS: {
        "layer": Variable(("relation",), "str", "network layer"),
        "measure": Variable(("relation",), "str", "measure"),
        "score": Variable(("relation",), "str", "score column"),
        "given": Variable(
            ("relation",), "str", "controlling for these, measure:layer, comma-separated (partial correlation)"
        ),
        "method": Variable(("relation",), "str", "kind of correlation"),
        "n": Variable(("relation",), "int64", "number of images"),
        "r": Variable(("relation",), "float64", "correlation"),
        "ci_low": Variable(("relation",), "float64", "lower limit of the 95 % bootstrap CI"),
        "ci_high": Variable(("relation",), "float64", "upper limit of the 95 % bootstrap CI"),
        "p": Variable(
            ("relation",), "float64", "two-tailed bootstrap p value (resolution: 2 over the number of resamples)"
        ),
        "n_missing": Variable(("relation",), "int64", "number of images excluded for a missing value"),
        "p_t": Variable(("relation",), "float64", "two-tailed p value from Student's t"),
        "p_holm": Variable(("relation",), "float64", "p_t after Holm's correction for the number of tests"),
        "n_tests": Variable(("relation",), "int64", "number of tests of Holm's correction"),
        "undefined": Variable(
            ("relation",), "float64", "share of bootstrap resamples without a defined correlation", added=True
        ),
        "p_resolution": Variable(("relation",), "float64", "step of p: 2 over the number of resamples", added=True),
        "p_permutation": Variable(
            ("relation",), "float64", "two-tailed p value of the permutation test (partial: Freedman-Lane)", added=True
        ),
        "family": Variable(("relation",), "str", "tests that Holm's correction counts", added=True),
        "ceiling": Variable(("relation",), "float64", "noise ceiling (attenuation-corrected maximum)"),
    },
    MODELS: {
        "layer": Variable(("model",), "str", "network layer, or all"),
        "score": Variable(("model",), "str", "score column"),
        "measures": Variable(("model",), "str", "predictors, comma-separated"),
        "n": Variable(("model",), "int64", "number of images"),
        "n_measures": Variable(("model",), "int64", "number of predictors"),
        "r2": Variable(("model",), "float64", "R^2 of the multiple regression"),
        "r2_adjusted": Variable(("model",), "float64", "adjusted R^2"),
        "r2_cv": Variable(("model",), "float64", "cross-validated R^2"),
        "p": Variable(("model",), "float64", "p value of the F test of the whole model"),
        "controls": Variable(("model",), "str", "further predictors, controlled for, comma-separated", added=True),
        "r2_controls": Variable(("model",), "float64", "R^2 of the controls alone", added=True),
        "p_measures": Variable(
            ("model",), "float64", "p value of the F test of what the measures add to the controls", added=True
        ),
    },
    WITHIN: {
        "layer": Variable(("correlation",), "str", "network layer"),
        "measure": Variable(("correlation",), "str", "measure"),
        "score": Variable(("correlation",), "str", "score column"),
        "category": Variable(("correlation",), "str", "label that the images share"),
        "n": Variable(("correlation",), "int64", "number of images"),
        "r": Variable(("correlation",), "float64", "Pearson correlation within the category"),
        "ci_low": Variable(("correlation",), "float64", "lower limit of its 95 % CI (Fisher's z)"),
        "ci_high": Variable(("correlation",), "float64", "upper limit of its 95 % CI (Fisher's z)"),
        "p_t": Variable(("correlation",), "float64", "two-tailed p value from Student's t, uncorrected"),
    },
    WITHIN_MEAN: {
        "layer": Variable(("mean",), "str", "network layer"),
        "measure": Variable(("mean",), "str", "measure"),
        "score": Variable(("mean",), "str", "score column"),
        "n": Variable(("mean",), "int64", "number of images"),
        "n_categories": Variable(("mean",), "int64", "number of categories"),
        "r": Variable(("mean",), "float64", "mean correlation within categories (Fisher's z, weights n - 3)"),
        "ci_low": Variable(("mean",), "float64", "lower limit of its 95 % CI"),
        "ci_high": Variable(("mean",), "float64", "upper limit of its 95 % CI"),
        "p": Variable(("mean",), "float64", "two-tailed p value of the mean, uncorrected"),
        "q": Variable(("mean",), "float64", "Cochran's Q of the differences between categories"),
        "q_p": Variable(("mean",), "float64", "p value of Q (chi-squared)"),
        "i2": Variable(("mean",), "float64", "I^2: share of the differences between categories beyond chance"),
    },
    MIXED: {
        "layer": Variable(("mixed",), "str", "network layer"),
        "measure": Variable(("mixed",), "str", "measure"),
        "score": Variable(("mixed",), "str", "score column"),
        "given": Variable(("mixed",), "str", "further fixed effects, comma-separated"),
        "n": Variable(("mixed",), "int64", "number of images"),
        "n_categories": Variable(("mixed",), "int64", "number of categories, each with a random intercept"),
        "coefficient": Variable(
            ("mixed",), "float64", "standardised fixed effect of the measure", "standard deviation"
        ),
        "ci_low": Variable(("mixed",), "float64", "lower limit of its 95 % CI", "standard deviation"),
        "ci_high": Variable(("mixed",), "float64", "upper limit of its 95 % CI", "standard deviation"),
        "p": Variable(("mixed",), "float64", "two-tailed p value of the fixed effect, uncorrected"),
        "icc": Variable(("mixed",), "float64", "share of the variance left that is between categories"),
        "converged": Variable(("mixed",), "bool", "whether the fit converged"),
    },
    COMPARISONS: {
        "layer": Variable(("comparison",), "str", "network layer"),
        "score": Variable(("comparison",), "str", "score column"),
        "first": Variable(("comparison",), "str", "first measure"),
        "second": Variable(("comparison",), "str", "second measure"),
        "n": Variable(("comparison",), "int64", "number of images"),
        "r_first": Variable(("comparison",), "float64", "correlation of the first measure with the score"),
        "r_second": Variable(("comparison",), "float64", "correlation of the second measure with the score"),
        "r_between": Variable(("comparison",), "float64", "correlation of the two measures"),
        "difference": Variable(("comparison",), "float64", "r_first minus r_second"),
        "ci_low": Variable(("comparison",), "float64", "lower limit of its 95 % bootstrap CI"),
        "ci_high": Variable(("comparison",), "float64", "upper limit of its 95 % bootstrap CI"),
        "williams_t": Variable(("comparison",), "float64", "Williams' t of two dependent correlations"),
        "williams_p": Variable(("comparison",), "float64", "two-tailed p value of Williams' t"),
        "meng_z": Variable(("comparison",), "float64", "z of Meng, Rosenthal and Rubin"),
        "meng_p": Variable(("comparison",), "float64", "two-tailed p value of that z"),
        "undefined": Variable(
            ("comparison",), "float64", "share of bootstrap resamples without a defined difference", added=True
        ),
    },
    NEW_IMAGES: {
        "layer": Variable(("layer",), "str", "network layer, empty for measures of the pixels"),
        "seed": Variable(("seed",), "int64", "seed of the random generator"),
        "image": Variable(("image",), "str", "name of an image that is scored against a study"),
        "column": Variable(("column",), "str", "name of a further measure"),
        "distance": Variable(
            ("layer", "image", "neighbour"),
            "float64",
            "distance to the k-th nearest neighbour in the study",
            "activation",
        ),
        "neighbour_index": Variable(
            ("layer", "image", "neighbour"), "int64", "position of that neighbour among the images of the study, from 0"
        ),
        "error": Variable(("layer", "seed", "image"), "float64", "reconstruction error by the study's model"),
        "value": Variable(("column", "layer", "image"), "float64", "value of a further measure"),
        "norm": Variable(("layer", "image"), "float64", "L2 norm of the activation", "activation"),
    },
}


ADDED_KEYS: dict[str, tuple[str, ...]] = {RECONSTRUCTION: ("step",)}
"""Keys of recipes that older stores lack. Where one is absent it differs from nothing: what such a store holds is what
either choice gives (a fit at the paper's step that ended is what the stable step gives where it is that step)."""

ABSENT_KEYS: dict[str, dict[str, str]] = {
    ACTIVATIONS: {"pooling": "none", "engine": "keras"},
    DISTANCES: {"scaling": "none"},
    RECONSTRUCTION: {"scaling": "none"},
}
"""Keys of recipes that may be absent, as in older stores, with the value that this stands for."""


def variables(group: str) -> dict[str, Variable]:
    """Variables of a group; `activations/<layer>` is an instance of `activations`.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    name = group.split("/")[0]
    if name not in GROUPS:
        raise ValueError(f"a store has no group {group!r}; it has {', '.join(GROUPS)}")
    return GROUPS[name]
