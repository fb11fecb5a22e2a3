"""Methods of many passes that cannot run, or that were stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "GraphLacksOutput",
    "Interrupted",
    "NoDriver",
    "NotOneDetection",
    "NotWrappable",
    "OnlyDetections",
    "OnlyPictures",
    "OptionsFixed",
    "TargetsLeft",
]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came between the pictures of a list, or between the targets of one.

    Attributes:
        done: the explanations that were finished, in the order asked for, as the call would have given them; of a
            list of targets for each picture the last may be shorter.
    """

    def __init__(self, done: Sequence[Any], count: int) -> None:
        super().__init__(f"interrupted: {len(done)} of {count} are explained; they are the field `done` of this error")
        self.done = list(done)


class TargetsLeft(KeyboardInterrupt):
    """Ctrl-C came between the targets of a picture whose results are written.

    Attributes:
        done: how many targets have a result.
        count: how many were asked for.
    """

    def __init__(self, done: int, count: int) -> None:
        super().__init__(f"interrupted: {done} of {count} targets of a picture are explained")
        self.done, self.count = done, count


class GraphLacksOutput(OnnxCamError):
    """A method of many passes is to run an explain graph that does not give what it asks for."""

    def __init__(self, method: str, output: str) -> None:
        super().__init__(
            f"The method {method!r} asks the graph for {output!r}, which this one does not give. Make one that does: "
            f"onnxcam convert MODEL --method {method}, or with convert(..., outputs=[{output!r}])."
        )


class OptionsFixed(OnnxCamError):
    """Options are given for a method that is part of the graph."""

    def __init__(self, method: str, options: Iterable[str]) -> None:
        super().__init__(
            f"{', '.join(options)} cannot be set any more: {method} is part of this explain graph, with the options it "
            f"was converted with. Give options to convert, or name a method of many passes here: driver='rise' (on the "
            f"command line: --method rise)."
        )


class NoDriver(OnnxCamError):
    """Many passes are asked for on a graph whose method needs one, without the name of another."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method} is one pass through this explain graph, so there is nothing to drive. Use run() for its "
            f"outputs, or name a method of many passes: driver='rise'."
        )


class NotWrappable(OnnxCamError):
    """A method of many passes is to go around another of many passes."""

    def __init__(self, wrap: str, method: str) -> None:
        super().__init__(
            f"{wrap!r} goes around a method of one pass, whose graph gives a heatmap, and {method!r} takes many passes "
            f"itself. Leave {wrap!r} away, or take one that `onnxcam methods --json` lists with one pass: "
            f"convert(..., method='gradcam', wrap={wrap!r}), or --method gradcam --wrap {wrap}."
        )


class NotOneDetection(OnnxCamError):
    """A method that looks for a detection again is asked for what is none."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"The method {method!r} looks for one detection again in altered pictures: name a class, a rank or a box. "
            f"There is no other side of a detection, and no difference of two; occlusion, or rise, explains the score "
            f"of any target."
        )


WITHOUT_BOXES = {"drise": "rise", "aise-detection": "aise"}


class OnlyDetections(OnnxCamError):
    """A method for detections is asked of a model that is no detector."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"The method {method!r} explains a detection by its box, and this model's scores have no boxes. Use "
            f"{WITHOUT_BOXES.get(method, 'rise')}, which is the same without them; if the model is a detector, convert "
            f"it with --score detector."
        )


class OnlyPictures(OnnxCamError):
    """A method of many passes is asked of a signal or a volume."""

    def __init__(self, method: str, shape: Sequence[int]) -> None:
        super().__init__(
            f"The method {method!r} changes pictures, with two axes of space, and the model takes inputs of shape "
            f"{tuple(shape)}. Use a method of one pass, such as gradcam, or integrated-gradients, occlusion or rise."
        )
