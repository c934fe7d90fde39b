# SPDX-License-Identifier: Apache-2.0
"""The challenge attributes of the benchmarks, in the order of their official files (docs/evaluation.md).

RGBT234 and RGBT210 have a file per attribute; their order is that of the files' names. The others have a row per
sequence, whose columns these are.
"""

GTOT = ("OCC", "LSV", "FM", "LI", "TC", "SO", "DEF")
RGBT234 = ("BC", "CM", "DEF", "FM", "HO", "LI", "LR", "MB", "NO", "PO", "SC", "TC")
LASHER = tuple("NO PO TO HO MB LI HI AIV LR DEF BC SA CM TC FL OV FM SV ARC".split())  # noqa: SIM905
VISEVENT = tuple("CM ROT DEF FOC LI OV POC VC SV BC MB ARC FM NMO IV OE BOM".split())  # noqa: SIM905
EVENTVOT = tuple("CM DEF MOC HOC FOC LI OV FM BC NM BOM SIO SV ST".split())  # noqa: SIM905
