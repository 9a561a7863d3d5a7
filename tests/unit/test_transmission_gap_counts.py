"""The smallest cell of parents' by children's classes, by which small counts are protected."""

from __future__ import annotations

import numpy as np
import pytest

from attachment_outcomes.transmission.gap.reading import Pairs


@pytest.mark.parametrize(
    ("parent", "child", "smallest"),
    [
        ([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], 1),
        ([1, 1, 0, 0, 0], [1, 1, 0, 0, 0], 2),  # empty cells are not small
        ([1, 1, 0, 0], [0.3, 0.1, 0.7, 0.2], None),
        ([], [], None),
    ],
)
def test_the_smallest_cell_is_that_of_classes_at_both_ends(parent, child, smallest):
    ends = (np.array(end, dtype=float) for end in (parent, child))
    first, second = ends
    assert Pairs(first, {}, second, np.arange(len(parent)), "AAI and SSP").smallest == smallest
