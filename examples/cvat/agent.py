# SPDX-License-Identifier: Apache-2.0
"""A tracker for CVAT's AI tools as a native function of an agent: runs where your GPU is, CVAT needs no deployment.

    cvat-cli --server-host HOST --auth USER function create-native modaltrack \
        --function-file examples/cvat/agent.py -p model=str:modaltrack-laptop
    cvat-cli --server-host HOST --auth USER function run-agent FUNCTION_ID \
        --function-file examples/cvat/agent.py -p model=str:modaltrack-laptop
"""

import cvat_sdk.auto_annotation as cvataa

import modaltrack
from modaltrack.integrations import CvatAgent


def create(model: str = "modaltrack-laptop", device: str = "auto", sensor: str = "rgb") -> CvatAgent:
    """The function that CVAT's command line loads from this file."""
    spec = cvataa.TrackingFunctionSpec(supported_shape_types=["rectangle"])
    return CvatAgent(modaltrack.load_model(model, device), spec, cvataa.TrackableShape, sensor)
