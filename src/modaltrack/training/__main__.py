# SPDX-License-Identifier: Apache-2.0
"""``python -m modaltrack.training RECIPE --out DIR``."""

import sys

from modaltrack.training.command import cli_main

if __name__ == "__main__":
    sys.exit(cli_main(sys.argv[1:]))
