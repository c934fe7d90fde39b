# SPDX-License-Identifier: Apache-2.0
"""modaltrack."""

__version__ = "0.1.0"
