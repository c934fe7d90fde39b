# SPDX-License-Identifier: Apache-2.0
"""Results of trackers as files: read in any layout, written in one, named, checked and packed. No torch in here."""

from modaltrack.results.names import match_names
from modaltrack.results.reading import read_results
from modaltrack.results.record import ResultSet
from modaltrack.results.writing import (
    MANIFEST,
    check_manifest,
    write_manifest,
    write_results,
    write_sequence,
    zip_results,
)

__all__ = [
    "MANIFEST",
    "ResultSet",
    "check_manifest",
    "match_names",
    "read_results",
    "write_manifest",
    "write_results",
    "write_sequence",
    "zip_results",
]
