"""Images of a task: as many as its memory holds."""

import pytest

from distspc.schedule import Workers
from distspc.scoring.options import ScoreLimits

LIMITS = ScoreLimits(images_per_task=100, task_nbytes=1000, tile_nbytes=100)


@pytest.mark.parametrize(
    ("image_nbytes", "memory", "n"), [(1, None, 100), (10, None, 35), (10, 500, 10), (10**6, None, 1)]
)
def test_images_of_a_task_fit_in_its_memory(image_nbytes, memory, n):
    assert LIMITS.images_at_once(image_nbytes, Workers(task_memory_nbytes=memory)) == n
