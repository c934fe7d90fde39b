# SPDX-License-Identifier: Apache-2.0
"""Whose checkpoint a file is: recognised by the names of its tensors and by what the file says."""

from __future__ import annotations

from collections.abc import Iterable

# a part of a tensor's name that only this tracker has -> (its name, the method that reads it here, "" for none)
_MARKS = (
    ("prompt_blocks.", "ViPT", ""),
    ("patch_embed_prompt.", "ViPT", ""),
    ("prompt_norms.", "ViPT", ""),
    (".adap_t.", "BAT", ""),
    (".adap2_t.", "BAT", ""),
    (".adap_t2.", "BAT", ""),
    ("adapter_down.", "BAT", ""),
    ("text_encoder.", "SUTrack", ""),
    ("task_decoder.", "SUTrack", ""),
    ("encoder.body.", "SUTrack or SeqTrack", ""),
    ("tbsi", "TBSI", ""),
    ("_DTE_Adapter.", "SDSTrack", "sdstrack"),
    ("CMA_ssm.", "SMSTracker", "smstracker"),
    ("channel_attn_mamba.", "SMSTracker", "smstracker"),
    ("blocks_cross.", "SRTrack", "srtrack"),
    ("blocks_rgb.", "SRTrack", "srtrack"),
    ("mamba_fusion.", "AINet", "ainet"),
)
# beginnings of what the trainers of the field write as ``net_type``
_TYPES = (
    ("vipt", "ViPT", ""),
    ("bat", "BAT", ""),
    ("sutrack", "SUTrack", ""),
    ("seqtrack", "SeqTrack", ""),
    ("tbsi", "TBSI", ""),
    ("stark", "STARK", ""),
    ("mixformer", "MixFormer", ""),
    ("odtrack", "ODTrack", ""),
    ("sdstrack", "SDSTrack", "sdstrack"),
    ("smstrack", "SMSTracker", "smstracker"),
    ("srtrack", "SRTrack", "srtrack"),
    ("ainet", "AINet", "ainet"),
    ("ostrack", "OSTrack", "ostrack"),
)


def whose(names: Iterable[str], net_type: object = None) -> tuple[str, str] | None:
    """Whose checkpoint it is.

    Args:
        names: Of its tensors.
        net_type: The entry of that name in the file, if there is one.

    Returns:
        The tracker's name and the method that reads it ("" where none does), None where nothing tells.
    """
    seen = tuple(names)
    for mark, tracker, method in _MARKS:
        if any(mark in name for name in seen):
            return tracker, method
    if isinstance(net_type, str):
        for beginning, tracker, method in _TYPES:
            if net_type.lower().startswith(beginning):
                return tracker, method
    backbones = [name for name in seen if name.startswith("backbone.blocks.")]
    if backbones and any(name.startswith("box_head.") for name in seen):
        return "OSTrack", "ostrack"
    return None


def advice(names: Iterable[str], method: str, net_type: object = None) -> str:
    """The sentence to put before "does not fit": what the file is, where it is surely not of ``method``; else ""."""
    found = whose(names, net_type)
    if found is None or found[1] == method:
        return ""
    tracker, reader = found
    return f"It looks like a {tracker} file: " + (
        f"import it with --method {reader}. " if reader else "there is no method here that reads it. "
    )
