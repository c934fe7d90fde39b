# SPDX-License-Identifier: Apache-2.0
"""``python -m modaltrack`` is ``modaltrack``."""

import sys

from modaltrack.cli import main

if __name__ == "__main__":
    sys.exit(main())
