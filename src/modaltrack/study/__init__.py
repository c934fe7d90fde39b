# SPDX-License-Identifier: Apache-2.0
"""The study: which of the papers' claims hold here. A grid of training runs, one measurement of each, tables of both.

``plan`` is the grid as data; ``running`` trains what is missing, ``measuring`` tracks with every finished run once,
``effects``, ``tables``, ``figures`` and ``pages`` need nothing but the files that those two leave.
"""
