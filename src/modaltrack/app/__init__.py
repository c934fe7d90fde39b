# SPDX-License-Identifier: Apache-2.0
"""A local web page to choose targets, watch them being followed, correct and export them.

    browser ── commands ──► server ──► Workspace (one thread) ──► lanes of the one Session ──► rows ──► browser

The workspace holds all that there is, so that a page which is loaded again shows the same. Frames come from a
``Footage``, which can go back; what steps is a ``modaltrack.session.Session`` like everywhere.
"""
