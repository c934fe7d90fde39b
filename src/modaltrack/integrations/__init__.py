# SPDX-License-Identifier: Apache-2.0
"""Other programs that ask for tracking: annotation tools and ground stations. Thin, over ``Tracker``.

Nothing of CVAT, Label Studio or MAVLink is imported: only their messages are spoken.
"""

from modaltrack.integrations.cvat import CvatAgent, CvatTracker
from modaltrack.integrations.label_studio import track_regions
from modaltrack.integrations.mavlink import MavlinkCamera
from modaltrack.integrations.state_text import pack_state, unpack_state

__all__ = ["CvatAgent", "CvatTracker", "MavlinkCamera", "pack_state", "track_regions", "unpack_state"]
