"""What a study names: images, activations, weights, scores; looked at before work begins on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from distspc.errors import InputError
from distspc.messages import counted
from distspc.study.file import StudyFile

if TYPE_CHECKING:
    import pandas as pd

    from distspc.images.listing import ImageSource
    from distspc.memorability.matching import Match


class StudyImages:
    """The images of a study, listed when first asked for and once.

    Raises
    ------
    InputError
        As `list_sources`, at every look.
    """

    def __init__(self, study: StudyFile) -> None:
        self.study = study

    @cached_property
    def listed(self) -> list[ImageSource]:
        """The images, targets first."""
        return list_sources(self.study)

    @cached_property
    def unchanged(self) -> bool:
        """Whether the store's table, as it was when first asked, is of exactly these images and their files."""
        from distspc.images.inventory import same_images

        return same_images(self.study.stored, self.listed)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Numbers of targets and fillers."""
        return count_images(self.study, None if self.study.images is None else self.listed)


def check_scores(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> None:
    """Read the scores and find their images by name, before a night is spent on these; nothing of them is read.

    Raises
    ------
    InputError
        If the scores cannot be read, name none of the images, or can be read in two ways.
    """
    from distspc.memorability.score_source import read_source

    if study.scores is not None:
        read_source(study.scores.source)
        if study.images is not None:  # else numbers of files alone: the store's table has them
            match_study(study, listed)


def check_predictions(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> None:
    """Look for the columns of predictions that others made, in the image table, the scores or a table of their own.

    Raises
    ------
    InputError
        If a column is not there, or holds no numbers.
    """
    from distspc.images.inventory import extra_columns
    from distspc.memorability.predictions import check_columns

    source = study.relate.predictions
    if source is not None:
        columns = list(extra_columns((list_sources(study) if listed is None else listed)[:1])) if study.images else []
        check_columns(source.source, None if study.scores is None else study.scores.source, columns)


def check_related_columns(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> None:
    """Look whether what the relations control for, and the categories within which they are, can be there.

    Raises
    ------
    InputError
        For a name that is neither a measure nor a column of a table that the study names.
    """
    wanted = {"control": study.relate.control, "within": tuple(filter(None, [study.relate.within]))}
    if study.scores is None or not any(wanted.values()):
        return
    from distspc.memorability.controls import check_controls
    from distspc.memorability.score_source import read_columns, read_source

    source = study.scores.source
    columns = [*read_columns(source).columns, *read_source(source).frame.columns, *_IMAGE_COLUMNS]
    columns += [name for one in (listed or [])[:1] for name in one.columns]
    for key, names in wanted.items():
        check_controls(names, columns, key=key)
        _check_measured(study, [name for name in names if name not in columns], key)


def _check_measured(study: StudyFile, names: Sequence[str], key: str) -> None:
    """See that measures to control for are computed by the study."""
    from distspc.measures.registry import COLUMNS, MEASURES
    from distspc.memorability.controls import ALIASES
    from distspc.results.measures import split_label

    chosen = {column.name for one in study.measures for column in one.measure.columns}
    for name in names:
        measure, layer = split_label(ALIASES.get(name, name))
        if measure in COLUMNS and measure not in chosen:
            word = next(word for word, one in MEASURES.items() if measure in [column.name for column in one.columns])
            raise InputError(f"`{key}` names {name!r}, which the study does not measure: add `{word}` to `measures:`")
        if layer and layer not in study.layers:
            raise InputError(
                f"`{key}` names {name!r}, but the layers of the study are {', '.join(study.layers)}: name one"
            )


_IMAGE_COLUMNS = ("category", "width", "height", "nbytes", "number")


def match_study(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> tuple[Match, pd.DataFrame]:
    """Put the scores of a study beside its targets as they are listed, readable or not; returns these too.

    Raises
    ------
    InputError
        As `check_scores`, and if the study names no scores or no images.
    """
    import pandas as pd

    from distspc.memorability.matching import find_match
    from distspc.memorability.score_source import read_source

    if study.scores is None:
        raise InputError("the study names no scores: add them as `scores:`")
    scores = study.scores.source
    found = read_source(scores).frame
    targets = [source for source in (list_sources(study) if listed is None else listed) if source.role == "target"]
    names = {"image": [s.id for s in targets], "number": [s.number for s in targets], "file": [s.file for s in targets]}
    images = pd.DataFrame(names)
    return find_match(images, found, where=scores.where, called=scores.called), images


def list_sources(study: StudyFile) -> list[ImageSource]:
    """List the images that a study names, targets first; nothing of them is read.

    Raises
    ------
    InputError
        If a folder or table cannot be read or names no image.
    """
    from distspc.images import listing as images

    source = study.images
    if source is None:
        raise InputError("the study names activations, not images: add these as `images:`")
    if source.table is not None:
        return images.read_image_table(source.table)
    listed = images.list_images(source.targets or "", "target")
    return listed + (images.list_images(source.fillers, "filler") if source.fillers else [])


def count_images(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> tuple[int, int]:
    """Count the targets and fillers that a study names; `listed` are its images, where they are listed already."""
    if study.activations is not None and study.activations.folder is not None:
        from distspc.extraction.imported.npy_import import count_files

        return count_files(study.activations.folder, study.layers[0])
    source = study.images
    if listed is None and source is not None and source.table is None:
        from distspc.images.listing import count_images as count

        return count(source.targets or "", "target"), count(source.fillers, "filler") if source.fillers else 0
    roles = [source.role for source in (list_sources(study) if listed is None else listed)]
    return roles.count("target"), roles.count("filler")


def check_sizes(study: StudyFile, n_targets: int, n_fillers: int) -> None:
    """Look whether there are images enough for the settings of stages that come hours later.

    Raises
    ------
    InputError
        If more neighbours are asked for than there are.
    """
    n_others = n_fillers if study.distinctiveness.protocol == "spc-public" else n_targets + n_fillers - 1
    k = study.distinctiveness.n_neighbours
    if 0 < n_others < k:
        raise InputError(
            f"distinctiveness: `neighbours` is {k}, but the comparison set has {counted(n_others, 'image')}; lower "
            "`neighbours`, or add images"
        )
