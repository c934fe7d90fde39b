# SPDX-License-Identifier: Apache-2.0
"""The list of mutations still fits the code: ``python -m tests.mutations`` runs them."""

import ast

from tests.mutations import MUTATIONS, ROOT


def test_every_mutation_changes_one_place_and_is_still_python() -> None:
    for mutation in MUTATIONS:
        assert mutation.source.count(mutation.right) == 1, f"{mutation.file} no longer holds {mutation.right!r} once"
        ast.parse(mutation.source.replace(mutation.right, mutation.wrong))
        assert all((ROOT / test).exists() for test in mutation.tests.split()), mutation.tests
