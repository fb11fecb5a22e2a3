"""Every error that onnxcam raises on purpose: what happened, why it matters here, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class OnnxCamError(Exception):
    """An error of the user's making, or of the model's: one line with the remedy, no traceback needed."""


class NoGradientRule(OnnxCamError):
    """An op between the layer and the score has no gradient rule."""

    def __init__(self, op_type: str, node: str, layer: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) lies between layer {layer!r} and the score and has no gradient rule. Explain a "
            f"later layer (onnxcam layers MODEL lists them), use a method without gradients (--method eigencam), or add "
            f"a rule in onnxcam/autodiff."
        )


class UnknownShape(OnnxCamError):
    """A gradient rule needs a size that the model leaves open."""

    def __init__(self, op_type: str, node: str, what: str) -> None:
        super().__init__(
            f"The gradient of {op_type} (node {node!r}) needs {what}, which the model leaves open. Export it with a "
            f"fixed image size, or explain a later layer."
        )


class MissingModelFile(OnnxCamError):
    """There is no file at the path given."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no model file {path!r}. Check the path; a converter takes .onnx files only.")


class InvalidModelFile(OnnxCamError):
    """The file is there, but it is no ONNX model."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} is not an ONNX model: {reason}. Export it again, or pass the .onnx file.")


class TruncatedModelFile(InvalidModelFile):
    """The file begins like an ONNX model and ends before it is complete."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it is truncated, the end is missing (an unfinished download or copy?)")


class MissingExternalData(OnnxCamError):
    """A model's weights lie in a side file that is not there."""

    def __init__(self, tensor: str, location: str, remedy: str) -> None:
        super().__init__(f"the data of tensor {tensor!r} lie in {location!r}, which is missing: {remedy}.")


class ExternalDataTooShort(OnnxCamError):
    """A side file ends before the tensor's data do."""

    def __init__(self, tensor: str, location: str, *, needed: int, found: int) -> None:
        super().__init__(
            f"the data of tensor {tensor!r} should end at byte {needed} of {location!r}, but end at {found}: "
            f"the side file is truncated or belongs to another model. Fetch it again together with the model."
        )


class ExternalDataOutsideFolder(OnnxCamError):
    """A model points to a file outside its own folder, which could be any file of the machine."""

    def __init__(self, tensor: str, location: str) -> None:
        super().__init__(
            f"the data of tensor {tensor!r} are said to lie in {location!r}, outside the model's folder. That is "
            f"refused, since a model must not read other files. Put the data beside the model and save it again."
        )


class CannotWriteFile(OnnxCamError):
    """A file could not be written; nothing of it was left behind."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}. Choose a folder that exists and is writable.")


class UnsupportedOpset(OnnxCamError):
    """The model is of an ONNX version that is too old or too new."""

    def __init__(self, opset: int, oldest: int, newest: int) -> None:
        super().__init__(
            f"the model is of ONNX opset {opset}; opsets {oldest} to {newest} can be read. Export it again with "
            f"an opset in that range, 18 at best."
        )


class UnsupportedOperator(OnnxCamError):
    """An operator of the model has no equivalent in the opset that explain graphs are made of."""

    def __init__(self, op_type: str, node: str, opset: int, *, reason: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}, opset {opset}) cannot be brought to opset 18: {reason}. Explain graphs are of "
            f"opset 18, which every runtime has; export the model without it, or at opset 18."
        )


class UnknownDomain(OnnxCamError):
    """An operator comes from a domain that is not ONNX's and not ONNX Runtime's."""

    def __init__(self, op_type: str, node: str, domain: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) is a custom operator of domain {domain!r}, which stock runtimes cannot run. "
            f"Export the model with standard ONNX operators only."
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The near misses as a sentence with a leading space, or nothing where none is near."""
    pool = list(dict.fromkeys(known))
    folded = {entry.casefold(): entry for entry in pool}
    near = [folded[hit] for hit in get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    near += [entry for entry in pool if name and name.casefold() in entry.casefold() and entry not in near]
    return f" Did you mean {' or '.join(map(repr, near[:3]))}?" if near else ""


class UnknownChoice(OnnxCamError):
    """A name that is none of those that exist."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        choices = sorted(known)
        super().__init__(f"no {what} named {name!r}.{did_you_mean(name, choices)} There are: {', '.join(choices)}.")


class ImageError(OnnxCamError):
    """A picture that cannot be read: catch this to go on with the next one."""


class ImageNotFound(ImageError):
    """No file under the picture's name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no picture at {path!r}. Check the path; it is taken from the current folder.")


class ImageNotReadable(ImageError):
    """The system does not hand out the picture's file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"the picture {path!r} cannot be opened: {reason}. Give a file that you may read.")


class EmptyImage(ImageError):
    """A picture without a byte or without a pixel."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} is empty: there is nothing to explain. Copy or download the picture again.")


class NotAnImage(ImageError):
    """Bytes in no picture format that OpenCV reads."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} is not a picture in a format that OpenCV reads (JPEG, PNG, WebP, TIFF, BMP, GIF …). "
            f"Convert it to JPEG or PNG."
        )


class CorruptImage(ImageError):
    """A picture that begins well and ends badly."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"{source} is damaged ({reason}), and half a picture explains nothing. Copy or download it again."
        )


class UnsupportedImage(ImageError):
    """An array or object that is no picture in onnxcam's sense."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. A picture is a path, bytes, a PIL image or an array (H, W), (H, W, 3) RGB or (H, W, 4) RGBA "
            f"of uint8, uint16, or floats from 0 to 1."
        )


class InvalidPreprocessing(OnnxCamError):
    """A preprocessing that cannot be carried out."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the preprocessing does not hold together: {reason}.")


class ImageSizeMismatch(ImageError):
    """A picture that is not resized and does not have the model's size."""

    def __init__(self, image: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__(
            f"the picture is {image[1]} x {image[0]} and the model takes {wanted[1]} x {wanted[0]}, but the "
            f'preprocessing says "resize": "none". Give a picture of that size, or "resize": "stretch", '
            f'"shorter" or "letterbox".'
        )


class HeatmapRangeError(OnnxCamError):
    """A heatmap that cannot be coloured."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the heatmap {reason}; colours are defined for numbers in [0, 1] over (H, W). Normalise it first."
        )


class UnknownPictureFormat(OnnxCamError):
    """A file name whose ending stands for no picture format."""

    def __init__(self, path: str, known: Iterable[str]) -> None:
        super().__init__(
            f"the ending of {path!r} names no picture format that can be written. Use one of {', '.join(known)}."
        )


class RuntimeMissing(OnnxCamError):
    """ONNX Runtime is not installed, or is broken."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"ONNX Runtime, which runs explain graphs, cannot be imported ({reason}). Install it: "
            f'pip install "onnxcam[cpu]" (or "onnxcam[gpu]" for NVIDIA cards, never both).'
        )


class ProviderNotAvailable(OnnxCamError):
    """An execution provider that this ONNX Runtime lacks or cannot start."""

    def __init__(self, provider: str, available: Iterable[str], reason: str) -> None:
        super().__init__(
            f"the provider {provider!r} {reason}, and onnxcam never falls back in silence. Available here: "
            f"{', '.join(available)}. Choose one of these, or install the ONNX Runtime package that has it "
            f'(for NVIDIA cards: pip install "onnxcam[gpu]").'
        )


class InvalidProviderOptions(OnnxCamError):
    """Provider options that ONNX Runtime refuses."""

    def __init__(self, providers: Iterable[str], reason: str) -> None:
        super().__init__(
            f"ONNX Runtime refuses the options for {', '.join(providers)}: {reason}. Correct or drop them."
        )


class ExplainGraphNotFound(OnnxCamError):
    """No file under the explain graph's name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no explain graph at {path!r}. Check the path, or make one: onnxcam convert MODEL -o {path}.")


class ExplainGraphNotLoadable(OnnxCamError):
    """A file that ONNX Runtime refuses."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"ONNX Runtime cannot load {source}: {reason}. The file is truncated, lacks its external data, or is not "
            f"ONNX: copy it again, or make it again with onnxcam convert."
        )


class NotAnExplainGraph(OnnxCamError):
    """An ONNX model without onnxcam's metadata."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} is a plain ONNX model, not an explain graph: it has no heatmap to give. Make one first: "
            f"onnxcam convert MODEL -o MODEL.explain.onnx."
        )


class InvalidMetadata(OnnxCamError):
    """Metadata that an explain graph of this version never has."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the explain graph's metadata is broken: {reason}. Make the file again with onnxcam convert.")


class MetadataTooNew(OnnxCamError):
    """An explain graph from a later onnxcam."""

    def __init__(self, schema: int, known: int) -> None:
        super().__init__(
            f"the explain graph has metadata schema {schema}, this onnxcam knows up to {known}, and guessing would "
            f"give wrong maps. Upgrade: pip install -U onnxcam."
        )


class LabelNotFound(OnnxCamError):
    """A target given by a text that is no label of the model."""

    def __init__(self, text: str, labels: Sequence[str]) -> None:
        remedy = "Give an index, or labels." if not labels else "Give a label, an index, or a rank (-1 is the best)."
        held = f"the model has {len(labels)} labels" if labels else "the model carries no labels"
        super().__init__(f"no class is labelled {text!r}; {held}.{did_you_mean(text, labels)} {remedy}")


class LabelAmbiguous(OnnxCamError):
    """A target given by a text that fits several classes."""

    def __init__(self, text: str, hits: Iterable[str]) -> None:
        super().__init__(f"{text!r} fits several classes: {', '.join(hits)}. Give the index of the one you mean.")


class TargetOutOfRange(OnnxCamError):
    """A class index or a rank that the model does not have."""

    def __init__(self, target: int, classes: int) -> None:
        super().__init__(
            f"target {target} is out of range: the model has {classes} classes, so an index lies in 0..{classes - 1} "
            f"and a rank in -1 (best)..-{classes}."
        )


class InvalidTarget(OnnxCamError):
    """A target of the wrong kind, or not one per picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. A target is a class index, a label, 'not:LABEL' or a negative rank; for several pictures one "
            f"for all or one each; K at once need a graph built with multi_target."
        )


class InputMismatch(OnnxCamError):
    """An array that does not fit the model's input, or an input that is missing."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"input {name!r} {reason}. onnxcam gives the model arrays in its own layout and batch order.")


class RunFailed(OnnxCamError):
    """ONNX Runtime stopped in the middle of a run."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ONNX Runtime stopped while explaining: {reason}. Try a smaller batch or providers=['cpu'].")


class NoClassScores(OnnxCamError):
    """None of the model's outputs holds one score a class."""

    def __init__(self, outputs: object) -> None:
        super().__init__(
            f"No output of the model is a table of class scores, (N, C): it gives {outputs}. onnxcam explains "
            f"classifiers; cut the model at its class scores, or use the output that holds them as the only one."
        )


class UnknownScore(OnnxCamError):
    """A kind of score that onnxcam does not know."""

    def __init__(self, given: str, known: object) -> None:
        super().__init__(f"There is no score {given!r}; choose one of {', '.join(map(str, known))}.")  # type: ignore[call-overload]


class NoSpatialLayer(OnnxCamError):
    """No tensor between the picture and the scores has rows and columns."""

    def __init__(self, picture: str | None) -> None:
        why = (
            f"between input {picture!r} and the class scores no tensor has height and width"
            if picture
            else "no input of the model can hold pictures, (N, C, H, W) or (N, H, W, C) with 1 to 4 channels"
        )
        super().__init__(f"There is no layer to explain: {why}. A heatmap needs a convolutional feature map.")


class UnknownLayer(OnnxCamError):
    """The model has no layer of that name, or none that can be explained."""

    def __init__(self, wanted: str, near: list[str], count: int, *, exists: bool) -> None:
        what = (
            f"{wanted!r} is in the model, but is no spatial activation below the scores."
            if exists
            else f"no layer named {wanted!r}."
        )
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(f"{what}{hint} `onnxcam layers MODEL` lists all {count}.")


class NoPathToScore(OnnxCamError):
    """The score does not depend differentiably on the layer."""

    def __init__(self, layer: str, why: str) -> None:
        super().__init__(
            f"Layer {layer!r} has no gradient: {why}. Explain a later layer, or use a method without gradients "
            f"(--method eigencam)."
        )


class NoLinearHead(OnnxCamError):
    """CAM needs a linear path from the layer to the score."""

    def __init__(self, method: str, layer: str, op_type: str, node: str) -> None:
        super().__init__(
            f"Method {method!r} takes its weights from a last dense layer, but {op_type} (node {node!r}) lies between "
            f"layer {layer!r} and the score and is not linear. Use --method gradcam, which is the same where both exist."
        )


class NameTaken(OnnxCamError):
    """The model has a tensor of a name that the explain graph needs."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The model has a tensor called {name!r} itself, a name that the explain graph gives to what it adds. "
            f"Rename it in the model; is this an explain graph already?"
        )


class NotRepeatable(OnnxCamError):
    """What lies above the layer depends on the batch in a way that forbids several targets an image."""

    def __init__(self, tensor: str) -> None:
        super().__init__(
            f"Several targets an image need what lies above the layer to run for each, but {tensor!r} is a size taken "
            f"from the picture itself. Explain a later layer, or build without multi_target."
        )


class CannotConvert(OnnxCamError):
    """A model of a framework cannot be brought to ONNX."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be converted to ONNX: {why}")


class NoConverter(OnnxCamError):
    """Nothing installed reads models of this kind."""

    def __init__(self, what: str, framework: str | None, installed: list[str]) -> None:
        remedy = f'pip install "onnxcam[{framework}]", or export' if framework else "Export"
        have = ", ".join(installed) or "none"
        super().__init__(f"No converter reads {what} (installed: {have}). {remedy} the model to ONNX yourself.")


class TrainingModeBatchNormalization(OnnxCamError):
    """A BatchNormalization takes its statistics from the batch, so that one image's map depends on the others."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"BatchNormalization (node {node!r}) is in training mode: it normalises by the batch at hand, so one "
            f"image's heatmap would depend on the others. Export the model in evaluation mode (PyTorch: model.eval())."
        )


class InvalidLabels(OnnxCamError):
    """A list of class names that cannot be used."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"The class names in {where} cannot be used: {why}. Give one name a line in the order of the classes, or a "
            f"JSON list."
        )


class WouldOverwriteImage(OnnxCamError):
    """A result would take the place of a picture that is explained."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The overlay would overwrite {path}, a picture to explain. Choose another folder with -o.")


class SomeImagesFailed(OnnxCamError):
    """Some pictures of many could not be explained; the others were."""

    def __init__(self, failed: int, done: int) -> None:
        others = f"the other {done} {'was' if done == 1 else 'were'}" if done else "none was"
        super().__init__(f"{failed} of {failed + done} pictures could not be explained, as said above; {others}.")


class RandomDropout(OnnxCamError):
    """A Dropout drops at random, since the model was exported for training."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"Dropout {node!r} is in training mode, or may be: it drops at random, and each run would be explained by "
            f"another gradient. Export the model for inference (in PyTorch: model.eval())."
        )


class NoReductionRule(OnnxCamError):
    """A scatter combines what meets in a way that has no gradient rule."""

    def __init__(self, op_type: str, node: str, reduction: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) combines what meets by {reduction!r}; its gradient is known for 'none' and "
            f"'add' only. Explain a later layer, or use a method without gradients (--method eigencam)."
        )


class NoGradientForm(OnnxCamError):
    """An op whose gradient is known is used in a way for which it is not."""

    def __init__(self, op_type: str, node: str, use: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) is used with {use}, for which its gradient is not known. Explain a later layer "
            f"(onnxcam layers MODEL lists them), or use a method without gradients (--method eigencam)."
        )


class AlreadyExplainGraph(OnnxCamError):
    """A model is asked for, and an explain graph is given."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is an explain graph already. Run it (onnxcam explain {path} IMAGE), or give the model that it was "
            f"made from."
        )


class BuildOptionsUnused(OnnxCamError):
    """Options that shape an explain graph are given with one that is finished."""

    def __init__(self, path: str, options: Iterable[str], made: str) -> None:
        super().__init__(
            f"{' and '.join(options)} cannot change {path}, which is an explain graph already ({made}). Leave it out, or "
            f"give the model that the graph was made from."
        )


class WouldOverwriteModel(OnnxCamError):
    """The explain graph would take the place of the model that it is made from."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the explain graph would overwrite the model {path} itself. Choose another name with -o.")
