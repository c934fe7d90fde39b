# SPDX-License-Identifier: Apache-2.0
"""One verb per file: ``Options`` (a dataclass that tyro reads) and ``run(options) -> exit code``.

Heavy imports stay inside ``run`` and what it calls, so that every ``--help`` answers at once.
"""
