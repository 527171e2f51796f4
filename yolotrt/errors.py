"""Every error a user can meet, in one tree.

    YoloTrtError
    ├── UsageError              an option or combination of options makes no sense       exit 2
    ├── EnvironmentFault       something outside the project is missing or broken       exit 1
    │   ├── MissingDependency   an optional package is not installed
    │   ├── DeviceError         no GPU, no driver, or the device does not fit
    │   │   ├── OutOfDeviceMemory    the GPU's memory does not suffice (cuda.driver)
    │   │   └── DeviceLost           the GPU stopped answering (cuda.driver)
    │   └── StorageError        disk full, read-only target, lock held for too long
    ├── InputError              a file or value the user gave cannot be used             exit 1
    │   ├── ModelError          not a YOLO-seg ONNX, or weights that cannot be read
    │   ├── ImageError          no readable image
    │   └── ArtifactError       an engine, sidecar, cache or result file does not fit
    ├── ExportError             weights could not be turned into a verified ONNX         exit 1
    ├── CalibrationError        activation ranges could not be found                     exit 1
    ├── BuildError              a backend refused to build the engine                    exit 1
    ├── ExecutionError          an engine failed while it ran                            exit 1
    ├── DownloadError           data could not be fetched completely and verified        exit 1
    ├── GateUndecided           what was measured does not suffice to judge a gate       exit 1
    └── GateFailed              a budget, accuracy or regression gate was missed         exit 3

A user's mistake raises one of these and is shown as one line and a hint. Anything else is a bug in
yolotrt and keeps its traceback. Only ``yolotrt.cli`` catches, and only the root.
"""

from __future__ import annotations

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class YoloTrtError(Exception):
    """Root of all errors that yolotrt raises on purpose.

    Args:
        message: What went wrong, in one sentence that names the file or value.
        hint: What to do next, ideally a command that can be typed as it stands.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(YoloTrtError):
    """An option, or a combination of options, makes no sense."""

    exit_code = 2


class EnvironmentFault(YoloTrtError):
    """Something outside the project is missing or broken."""


class MissingDependency(EnvironmentFault):
    """An optional package is not installed."""


class DeviceError(EnvironmentFault):
    """There is no usable GPU or driver, or the device does not fit the request."""


class StorageError(EnvironmentFault):
    """The disk is full, the target is read-only, or a lock was held for too long."""


class InputError(YoloTrtError):
    """A file or value that the user gave cannot be used."""


class ModelError(InputError):
    """The model is not a YOLO segmentation model, or its file cannot be read."""


class ImageError(InputError):
    """An image cannot be read, or no readable image was found."""


class ArtifactError(InputError):
    """An engine, sidecar, cache or result file does not fit or is damaged."""


class ExportError(YoloTrtError):
    """Weights could not be turned into a verified ONNX file."""


class CalibrationError(YoloTrtError):
    """Activation ranges could not be found."""


class BuildError(YoloTrtError):
    """A backend refused to build an engine."""


class ExecutionError(YoloTrtError):
    """An engine failed while it ran."""


class DownloadError(YoloTrtError):
    """Data could not be fetched completely and verified."""


class GateUndecided(YoloTrtError):
    """What was measured is too little or too noisy to judge a gate: it neither passed nor failed."""


class GateFailed(YoloTrtError):
    """A budget, accuracy or regression gate was missed."""

    exit_code = 3


class PictureWarning(UserWarning):
    """A picture was read, but something about it was guessed or left out.

    Args:
        message: What, in one sentence that names the file.
        kind: Equal for all pictures of which the same is to be said.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class CacheWarning(UserWarning):
    """A file that only saves time cannot be used."""
