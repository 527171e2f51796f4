"""What people type who come from Ultralytics, SAHI or trtexec, and what it is called here."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Sequence
from pathlib import Path

from yolotrt.text import shell_words

PREDICTED = "runs/predict"
"""Where ``--save`` without a value draws to."""

_OPTIONAL_VALUES = {("predict", "--save"): PREDICTED}
"""Options whose value may be left out, with what it is then."""

_SPELT = {("build", "--int8=auto"): "--precision=auto"}
"""Options with a value that is another option's here."""

_FORMER = {("run", "--whole"): "--global-engine"}
"""What options of ours were called first; still taken."""

_HERE = {
    "--half": "--fp16 (yolotrt build MODEL --fp16).",
    "--data": "--annotations data.yaml for accuracy, and --images data.yaml for calibration.",
    "--format": "--backend: yolotrt build MODEL --backend tensorrt, tensorrt-rtx, fused or onnxruntime.",
    "--model": "the first word: yolotrt VERB MODEL ...",
    "--project": "--save DIR, or -o FILE.",
    "--show": "--save: pictures and videos are drawn into files. yolotrt run has --show.",
    "--show-labels": "--hide-labels, which draws no names and scores.",
    "--save-json": "--json found.json --coco set.json: COCO records, and a dataset with their images.",
    "--save-conf": "--json: records carry the scores.",
    "--save-crop": "--json or to_supervision(): boxes and masks to cut by.",
    "--retina-masks": "nothing: masks always have the resolution of the frame.",
    "--nms": "--head raw or end2end, when weights are exported.",
    "--dynamic": "nothing: the batch is always dynamic, height and width are fixed (--imgsz 384x640).",
    "--simplify": "nothing: exports are always slimmed.",
    "--opset": "nothing: it is the newest that every backend reads.",
    "--vid-stride": "--fps of yolotrt run.",
    "--latency": "--budget 33ms: for the whole frame, or of a stage (--budget tiles=10ms).",
    "--agnostic-nms": "--agnostic.",
    "--line-thickness": "--line-width.",
    "--conf-thres": "--conf.",
    "--iou-thres": "--iou.",
    "--img": "--imgsz.",
    "--slice-height": "the engine's input size: yolotrt build WEIGHTS --imgsz 640, or 384x640.",
    "--overlap-height-ratio": "--overlap, for both directions.",
    "--postprocess-type": "--merge seams, nmm or nms.",
    "--postprocess-match-metric": "--merge-overlap, such as ios-masks:0.5.",
    "--model-confidence-threshold": "--conf.",
    "--no-sliced-prediction": "--mode global.",
    "--no-standard-prediction": "--mode tiled.",
    "--onnx": "the first word: yolotrt build MODEL.onnx.",
    "--saveEngine": "-o FILE of yolotrt build.",
    "--loadEngine": "the first word: yolotrt bench ENGINE.",
    "--minShapes": "--batch of yolotrt build: 1,4,8 (a profile each), or 1-8-32 (a range).",
    "--useCudaGraph": "--dispatch graph.",
    "--iterations": "-n FRAMES of yolotrt bench.",
    "--warmUp": "--warmup FRAMES of yolotrt bench; trtexec's are milliseconds.",
    "--best": "yolotrt tune, which measures and recommends.",
    "--limit": "-n N of yolotrt predict.",
    "--stream": "nothing: frames are read and given one by one.",
    "--calib": "--images DIR: yolotrt calibrates by itself and caches the ranges.",
    "--memPoolSize": "--workspace MIB.",
    "--dumpProfile": "yolotrt profile ENGINE.",
    "--streams": "--groups with --dispatch streams.",
}
_SAME = {
    "--frames": "--limit",
    "--max-frames": "--limit",
    "--show-conf": "--show-labels",
    "--output": "-o",
    "--weights": "--model",
    "--model-path": "--model",
    "--name": "--project",
    "--img-size": "--img",
    "--slice-width": "--slice-height",
    "--overlap-width-ratio": "--overlap-height-ratio",
    "--optShapes": "--minShapes",
    "--maxShapes": "--minShapes",
    "--shapes": "--minShapes",
    "--exportProfile": "--dumpProfile",
    "--avgRuns": "--iterations",
    "--saveengine": "--saveEngine",
}
_PRECISION = "chosen by yolotrt build, not by an export: yolotrt build MODEL --{} ({})."
_TAKES_ENGINE = ("predict", "run", "bench", "eval", "profile", "batch", "serve")

_IN_VERB = {
    ("export", "--int8"): _PRECISION.format("int8", "with --images DIR to calibrate on"),
    ("export", "--half"): _PRECISION.format("fp16", "for a GPU"),
    ("export", "--fp16"): _PRECISION.format("fp16", "for a GPU"),
    ("eval", "--save-json"): "--json FILE: the result; COCO records are written by yolotrt predict --json.",
    ("bench", "--limit"): "-n FRAMES.",
    ("run", "--limit"): "--duration SECONDS.",
    ("run", "-n"): "--duration SECONDS.",
    ("predict", "--project"): "--save DIR.",
    ("predict", "-o"): "--save DIR for pictures and videos, --json FILE for COCO records.",
    ("bench", "--batch"): "--groups (into how many parts tiles are split), or --chunk of yolotrt tune.",
    ("tune", "--batch"): "--chunk: tiles per batch.",
    ("predict", "--batch"): "--groups: into how many parts the tiles are split.",
    ("predict", "--imgsz"): "fixed in the engine: yolotrt build WEIGHTS --imgsz 384x640.",
    ("run", "--imgsz"): "fixed in the engine: yolotrt build WEIGHTS --imgsz 384x640.",
    ("predict", "--half"): "the engine's precision: yolotrt build MODEL --fp16.",
    ("eval", "--conf"): "fixed by COCO's rules at 0.001, so that the curve is complete.",
    ("eval", "--iou"): "fixed at 0.7, as Ultralytics validates.",
}

_EVALUATES = "yolotrt eval ENGINE --annotations FILE (data.yaml, or COCO's JSON with --images DIR)"

_VERBS = {
    "detect": "yolotrt predict",
    "segment": "yolotrt predict, or eval, build, bench; networks are always for segmentation",
    "val": _EVALUATES,
    "validate": _EVALUATES,
    "track": "yolotrt predict --track, or run --track",
    "train": "not part of it: yolo segment train of Ultralytics; then yolotrt build best.pt",
    "convert": "yolotrt build",
    "infer": "yolotrt predict",
    "version": "yolotrt --version",
    "checks": "yolotrt doctor",
    "help": "yolotrt -h, or yolotrt VERB -h",
}
"""What verbs of other tools are called here."""

_PAIR = re.compile(r"([a-z]\w*)=(.*)")


def way_to_build(model: str) -> str:
    """Return what makes an engine of weights or a network, with the precisions that pay."""
    return f"yolotrt build {shell_words(model)} --fp16   (on a processor --int8 --images DIR)"


def hint_for(verb: str, option: str, known: Container[str], value: str = "") -> str | None:
    """Return a sentence about what another tool's verb or option is called here, or None.

    Args:
        verb: As it was typed.
        option: The one that is not known, as it was typed without its value; empty if it is the verb.
        known: The verbs there are.
        value: What was typed behind the option.
    """
    if verb not in known and verb in _VERBS:
        return f"{verb} is here: {_VERBS[verb]}"
    spelt = option.replace("_", "-")
    if verb in _TAKES_ENGINE and _SAME.get(spelt, spelt) == "--model":
        return f"{option} is here: the first word, an ENGINE. {_way_to_engine(verb, value)}"
    here = called_here(verb, option)
    if here is None:
        return None
    nothing, _, why = here.partition("nothing: ")
    return f"{option} is here: {here}" if nothing or not why else f"{option} is not needed: {why}"


def _way_to_engine(verb: str, model: str) -> str:
    """Return what to type where an option named the model; what is no engine yet is built first."""
    from yolotrt.backends.sidecar import WEIGHTS, has_sidecar

    path = Path(model)
    kind = path.suffix.lower()
    if kind in WEIGHTS or (kind == ".onnx" and not has_sidecar(path)):
        return f"One is made of {shell_words(model)} first: {way_to_build(model)}"
    return f"Type: yolotrt {verb} {shell_words(model) if model else 'ENGINE'} ..."


def called_here(verb: str, option: str) -> str | None:
    """Return what an option of another tool is called here, or None.

    Args:
        verb: The verb it was given to.
        option: As it was typed, without its value.
    """
    for spelt in (option, option.replace("_", "-")):
        name = _SAME.get(spelt, spelt)
        if found := _IN_VERB.get((verb, name)) or _HERE.get(name):
            return found
    return None


def rewritten(words: Sequence[str]) -> list[str]:
    """Return a command line with what the parser does not know: values left out, ``--max_det``, ``-q`` last.

    Args:
        words: Without the program's name.
    """
    first: list[str] = []
    rest: list[str] = []
    verb = next((word for word in words if not word.startswith("-")), "")
    for place, word in enumerate(words):
        if word in ("-q", "--quiet", "-v", "--verbose"):
            first.append(word)
            continue
        name, equals, value = word.partition("=")
        if name.startswith("--") and "_" in name:
            word = name.replace("_", "-") + equals + value
        word = _SPELT.get((verb, word), word)
        if former := _FORMER.get((verb, name)):
            word = former + equals + value
        rest.append(word)
        follows = words[place + 1] if place + 1 < len(words) else "-"
        if (left_out := _OPTIONAL_VALUES.get((verb, word))) and follows.startswith("-"):
            rest.append(left_out)
    return [*first, *rest]


_PLAIN = re.compile(r"[\w-]+")


def spaced_classes(words: Sequence[str]) -> tuple[str, str] | None:
    """Return classes that were typed with spaces, as Ultralytics takes them: the value to type, and the last.

    The words behind the first would be sources: ``2`` is a camera. A file of that name stays one.
    """
    values: list[str] = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != "--classes":
            continue
        values = [value] if equals else []
        for follows in words[place + 1 :]:
            plain = follows.strip("[],")
            if values and (not _PLAIN.fullmatch(plain) or plain[0] == "-" or os.path.lexists(follows)):
                break
            values.append(plain)
    return (",".join(values), values[-1]) if len(values) > 1 else None


def as_option(words: Sequence[str]) -> tuple[str, str] | None:
    """Return ``key=value`` of a command line, which Ultralytics takes, as an option and its value; or None.

    ``key=True`` is an option without a value.
    """
    for before, word in zip(("", *words), words, strict=False):
        found = _PAIR.fullmatch(word)
        if found and not before.startswith("-") and not os.path.lexists(word):
            value = "" if found[2].lower() == "true" else found[2]
            return f"--{found[1].replace('_', '-')}", value
    return None


def value_of(words: Sequence[str], option: str) -> str:
    """Return what was typed for an option, in whatever way it was spelt; empty without a value."""
    for word, follows in zip(words, [*words[1:], "-"], strict=True):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option.replace("_", "-"):
            return value if equals else "" if follows.startswith("-") else follows
    return ""
