# SPDX-License-Identifier: Apache-2.0
"""Files of other people that the published recipes start from: what they are and where their authors publish them.

No published hash of any of them is known, so none is checked (``start_sha256`` is None); papers of this
family report that the starting file matters a lot (docs/methods/ostrack.md 9), so take exactly these.
"""

from __future__ import annotations

OSTRACK_256 = "OSTrack_ep0300.pth.tar"
DROPTRACK_384 = "DropTrack_k700_800E_alldata.pth.tar"
MAE_BASE = "mae_pretrain_vit_base.pth"

PUBLISHED: dict[str, str] = {
    OSTRACK_256: "OSTrack-256 after 300 epochs, from the folder vitb_256_mae_ce_32x4_ep300 of the model zoo that "
    "github.com/botaoye/OSTrack links to",
    DROPTRACK_384: "DropTrack (DropMAE, Kinetics-700, 800 epochs, all tracking data; 384 pixels), from the models that "
    "github.com/jimmy-dq/DropTrack links to",
    MAE_BASE: "ViT-B pretrained by MAE on ImageNet, linked from github.com/facebookresearch/mae",
}


def missing_start(file: str) -> str | None:
    """One sentence on where to get the file of that name; None for a name that is not in the table."""
    name = file.replace("\\", "/").rsplit("/", 1)[-1]
    if name not in PUBLISHED:
        return None
    return f"There is no file {file} to start from: it is {PUBLISHED[name]}; download it and give --start-from FILE."
