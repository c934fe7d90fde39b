# SPDX-License-Identifier: Apache-2.0
"""The command line: a table of verbs, one file each in ``modaltrack.commands``. No torch on the way to any ``--help``.

Exit codes: 0 done, 1 an error of the input (one sentence on stderr), 2 a command line that cannot be understood,
130 interrupted. Anything else that goes wrong is our mistake and shows its traceback.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from modaltrack.commands import threads
from modaltrack.printable import one_line, shortened

COMMANDS = {
    "demo": "render a hard clip with four sensors, track it, show what each sensor adds",
    "track": "follow a target through your own files, cameras or streams",
    "app": "a local page: choose targets by mouse, watch, correct, compare two models, export labels",
    "align": "find the homography between two cameras' pixels, for track --align",
    "export": "write a model as ONNX or OpenVINO graphs, compared with torch",
    "models": "list the models; 'models show NAME' prints a card, 'models import' reads authors' files",
    "score": "score results by a benchmark's own protocol, or one file of boxes",
    "results": "check, import or zip result files; write them as labels (CVAT, COCO, MOT)",
    "eval": "run a tracker through a benchmark: in batches, resumable, on one machine or many",
    "report": "one page with curves, tables and film strips of one or more trackers",
    "vot": "let the official VOT toolkit drive a tracker; --ini prints the section for trackers.ini",
    "data": "benchmarks on this machine: list, describe, check that a download is whole",
    "pictures": "your own labelled pictures and clips: check a folder before training on it",
    "bench": "frames per second on this machine, split by part",
    "scenes": "render a contact sheet and a video of the synthetic world",
    "train": "run a training recipe",
    "study": "train, measure and compare the whole grid: which claims of the papers hold here",
    "reproduce": "the tables of README and documentation: what makes each again, and whether it agrees",
    "doctor": "versions, devices, optional parts and how to install each",
}
REPEATABLE = {"--pairs", "--box", "--encoding", "--offset", "--modality", "--switch"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        import modaltrack

        print(f"modaltrack {modaltrack.__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in COMMANDS:
        return _complain(f"there is no command {verb!r}{_suggestion(verb)}; 'modaltrack --help' lists them", 2)
    try:
        rest, count = (rest, None) if verb in threads.OWN else threads.take_option(rest)
    except ValueError as error:
        return _complain(str(error), 2)
    threads.settle(count)
    _bound_libraries()
    if verb == "train":  # any field of a recipe is an option there, and lists are given by repeating
        return _run(verb, rest, debug)
    if verb == "track":
        from modaltrack.commands.track_words import complaint, with_whole_boxes

        rest = with_whole_boxes(rest)
        if words := complaint(rest):
            return _complain(f"{words}; 'modaltrack track --help' lists them all", 2)
    # argparse keeps the last of two values in silence, and half of the input would be missing
    twice = [flag for flag, n in Counter(_flags(rest)).items() if n > 1 and flag not in REPEATABLE]
    if twice:
        return _complain(f"{twice[0]} is given more than once; give it one value", 2)
    return _run(verb, rest, debug)


def _bound_libraries() -> None:
    """OpenCV reads these when it is loaded: no lines of its own on the terminal, no picture of more than 134 MP.

    A header of 30 bytes may claim 2^30 pixels, 3 GB of them; the largest cameras have 134 million.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))


def _run(verb: str, rest: list[str], debug: bool) -> int:
    module = import_module(f"modaltrack.commands.{verb}")
    try:
        with _termination_as_interrupt():
            return _call(module, verb, rest)
    except SystemExit as stop:  # tyro has said what is wrong, or printed the help
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _complain("interrupted; unfinished files were removed", 130)
    except BrokenPipeError:  # the reader of our output has gone: nothing to say and no reader to say it to
        sys.stdout = None
        return 1
    except (ValueError, OSError, ImportError) as error:
        if debug:
            raise
        return _complain(_sentence(error), 1)


def _call(module: ModuleType, verb: str, rest: list[str]) -> int:
    from modaltrack.commands.arguments import parse
    from modaltrack.commands.terminal import warnings_as_lines

    if verb == "train":
        return int(module.main(rest))
    options = parse(module, f"modaltrack {verb}", rest)
    with warnings_as_lines():
        return int(module.run(options))


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM is Ctrl-C while a command runs: what is half written is removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: ValueError | OSError | ImportError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _complain(sentence: str, code: int) -> int:
    print(f"error: {shortened(one_line(sentence))}", file=sys.stderr)
    return code


def _flags(arguments: list[str]) -> list[str]:
    """Options of a command line in one spelling: ``--max_frames=3`` and ``--max-frames 3`` are the same flag."""
    return [a.split("=", 1)[0].replace("_", "-") for a in arguments if a.startswith("--") and len(a) > 2]


def _suggestion(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, COMMANDS, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _overview() -> str:
    rows = "\n".join(f"  {verb:<10}{what}" for verb, what in COMMANDS.items())
    return (
        "usage: modaltrack COMMAND [OPTIONS]\n\n"
        "Follow a target, given once as a box, through visible, thermal, depth and event cameras.\n\n"
        f"commands:\n{rows}\n\n"
        "'modaltrack COMMAND --help' lists a command's options. With every command: --threads N, how many threads\n"
        "compute (doctor says how many by default); --debug, the traceback of an error.\n"
        "Start with: modaltrack demo"
    )


if __name__ == "__main__":
    sys.exit(main())
