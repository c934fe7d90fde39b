# SPDX-License-Identifier: Apache-2.0
"""Write ``src/modaltrack/models/catalogue.json`` after a model or a weight file was added or changed.

python tools/write_catalogue.py
"""

from __future__ import annotations

import json

from modaltrack.files import write_file
from modaltrack.models.catalogue import FILE, describe
from modaltrack.models.registry import METHODS, list_models
from modaltrack.models.weights_io import read_weights
from modaltrack.models.weights_store import ensure
from modaltrack.models.zoo import SHIPPED


def content() -> str:
    """The file's text, from the code and the weight files."""
    own = [name for name in list_models() if name.rpartition("-")[0] in METHODS]
    files = {row.name: ensure(row) for row in SHIPPED}
    weights = {
        row.name: {"bytes": files[row.name].stat().st_size, "card": read_weights(files[row.name], row.sha256)[1]}
        for row in SHIPPED
    }
    return (
        json.dumps({"models": {n: describe(n) for n in own}, "weights": weights}, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    print(f"Wrote {write_file(FILE, content())}")
