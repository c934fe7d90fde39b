# SPDX-License-Identifier: Apache-2.0
"""``modaltrack vot``: what the official VOT toolkit starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg


@dataclass
class Options:
    """Let the official VOT toolkit drive a tracker: speak its protocol (TraX) on standard input and output.

    Not for typing: put what 'modaltrack vot --ini' prints into trackers.ini of a workspace, and run 'vot evaluate'.
    """

    model: Annotated[str, arg(metavar="NAME|PATH")] = "modaltrack-laptop"
    """A name from 'modaltrack models' or a weights file."""
    channels: Annotated[str, arg(metavar="NAMES")] = "color,depth"
    """The toolkit's channels to ask for: color, or color,depth, or color,ir."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    ini: bool = False
    """Print a section for trackers.ini with these options and exit."""
    identifier: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the section; default: from the model and the channels."""


def run(options: Options) -> int:
    """Serve one session, or print the section; -> 0."""
    from modaltrack.evaluation.vot_client import CHANNELS, channel_names, serve, trackers_ini

    channels = channel_names(options.channels)
    if options.ini:
        print(trackers_ini(options.model, channels, options.device, options.identifier), end="")
        return 0

    from modaltrack.evaluation.trax import Server, standard_streams
    from modaltrack.frame import Modality

    with standard_streams() as (incoming, outgoing):
        from modaltrack.models import load_model

        model = load_model(options.model, device=options.device)
        encodings = {Modality(m): str(name) for m, name in (model.card.get("encodings") or {}).items()}
        modalities = {CHANNELS[c] for c in channels}
        if unused := sorted(modalities - set(model.config.modalities)):
            raise ValueError(
                f"{options.model} reads {', '.join(model.config.modalities)} and the channels {options.channels} "
                f"bring {unused[0]}; leave that channel out, or use a model for it."
            )
        serve(model, Server(incoming, outgoing, options.model, channels), encodings)
    return 0
