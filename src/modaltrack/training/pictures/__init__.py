# SPDX-License-Identifier: Apache-2.0
"""Training on real pictures and clips: reading users' folders, checking them, sampling pairs from them."""
