# SPDX-License-Identifier: Apache-2.0
"""A tracker for CVAT's AI tools as a serverless function of nuclio.

Environment: ``MODALTRACK_MODEL`` (a name or a file, default modaltrack-laptop) and ``MODALTRACK_SENSOR`` (default rgb).
"""

import json
import os

import modaltrack
from modaltrack.integrations import CvatTracker


def init_context(context):
    """Load the model once per worker."""
    model = modaltrack.load_model(os.environ.get("MODALTRACK_MODEL", "modaltrack-laptop"))
    context.user_data.tracker = CvatTracker(model, os.environ.get("MODALTRACK_SENSOR", "rgb"))


def handler(context, event):
    """Answer one image; a request that does not fit is status 400 with one sentence."""
    body = event.body if isinstance(event.body, dict) else json.loads(event.body)
    try:
        answer, status = context.user_data.tracker.answer(body), 200
    except ValueError as error:
        answer, status = {"message": str(error)}, 400
    return context.Response(body=json.dumps(answer), headers={}, content_type="application/json", status_code=status)
