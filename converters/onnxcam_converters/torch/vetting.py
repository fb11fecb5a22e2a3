"""Files of PyTorch from strangers: what they hold, told from their bytes, and whether reading them would run code.

- A pickle can name any function of Python and have it called. All of them go through `torch.load(weights_only=True)`,
  which knows tensors and containers only.
- TorchScript is a language of its own, without access to Python; but its programs can write and read files and call
  other machines (`torch.save`, `torch.from_file`, rpc). Those that do are refused.
- An exported program holds text that PyTorch evaluates as Python while it reads it (sizes, guards), names of functions,
  and may hold pickles. The text must be arithmetic, the functions those of PyTorch's operators.
"""

from __future__ import annotations

import ast
import json
import mmap
import os
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnxcam.errors import InvalidSource, MissingWeights, UnsafeSource

# What PyTorch reads from the environment; given both, it refuses everything.
FORCED_SAFE, FORCED_UNSAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
PICKLE = re.compile(rb"\x80[\x02-\x05]")
SAFETENSORS_HEADER_START = 8
OLD_PICKLES = 5  # a file of the old kind: magic number, version, system, object, keys of the storages
LFS_POINTER = b"version https://git-lfs"
# What weights are pickled with; everything else that a pickle names is told to the user.
HARMLESS = re.compile(
    r"(collections|__builtin__|builtins|torch|torch\._utils)\.(OrderedDict|set|\w+Storage|_rebuild_\w+|Size|device)"
)
REACHING_OUT = re.compile(r"\b(?:torch|aten|prim|ops\.\w+)\.(save|from_file|load_tensor|rpc_\w+)\b")
OPERATOR = re.compile(
    r"torch\.ops\.\w+\.\w+(\.\w+)?|math\.\w+|torch\.(_)?sym_\w+|_operator\.(?!attrgetter|methodcaller|call)\w+"
)
EXPRESSIONS = ("expr_str", "guards_code")
FUNCTION_NAMES = ("target", "as_operator")
FUNCTIONS = frozenset(
    "Symbol Integer Float Rational Add Mul Pow Mod Max Min Abs FloorDiv CeilDiv CleanDiv PythonMod ModularIndexing "
    "IntTrueDiv FloatTrueDiv TruncToInt TruncToFloat CeilToInt FloorToInt RoundToInt RoundDecimal ToFloat Where Eq Ne "
    "Ge Gt Le Lt Equality Unequality And Or Not Piecewise ExprCondPair FloatPow PowByNatural Identity LShift RShift "
    "OpaqueUnaryFn_sqrt floor ceiling min max len size stride storage_offset dim".split()
)
ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.keyword, ast.Name),
    *(ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.expr_context),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
WAY_OUT = (
    "If you trust it, load it in Python yourself and pass the module (onnxcam.convert(module, example)), or save its "
    "weights alone: torch.save(module.state_dict(), FILE)."
)


def kind_of(path: Path) -> str:
    """What a file is, told from its bytes: "program", "script", "pickle" or "safetensors".

    Raises:
        MissingWeights: if there is no such file.
        InvalidSource: if it is none of these.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise MissingWeights(str(path), error.strerror or str(error)) from error
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    if PICKLE.match(start) or tarfile.is_tarfile(path):
        return "pickle"
    if start[SAFETENSORS_HEADER_START : SAFETENSORS_HEADER_START + 1] == b"{":
        return "safetensors"
    if start.startswith(LFS_POINTER):
        raise InvalidSource(str(path), "it is a pointer of Git LFS, not the file itself (git lfs pull fetches it)")
    raise InvalidSource(str(path), "it is no file of PyTorch" if start else "it is empty")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InvalidSource(str(path), "it is cut short, or damaged: its table of contents is missing") from error
    inner = {name.partition("/")[2] for name in names} | set(names)
    if "archive_format" in inner or "serialized_exported_program.json" in inner:
        return "program"
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return "script"
    if "data.pkl" in inner:
        return "pickle"
    raise InvalidSource(str(path), "it is a zip archive, but not one of PyTorch's")


@contextmanager
def weights_only() -> Iterator[None]:
    """Within it no reader of PyTorch unpickles anything but tensors and containers, whatever its caller asks for."""
    before = {name: os.environ.pop(name, None) for name in (FORCED_SAFE, FORCED_UNSAFE)}
    os.environ[FORCED_SAFE] = "1"
    try:
        yield
    finally:
        os.environ.pop(FORCED_SAFE)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def refused_pickle(path: Path) -> UnsafeSource:
    """The error for a pickle that holds more than weights; it names what would be run."""
    names = [name for name in globals_in(path) if not HARMLESS.fullmatch(name)]
    names.sort(key=lambda name: name.startswith("torch."))  # the author's own first
    few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return UnsafeSource(str(path), f"a pickle that calls {few}" if names else "a pickle of more than weights", WAY_OUT)


def globals_in(path: Path) -> list[str]:
    """The functions and classes that a pickle names, "module.name", in order; nothing is run to find them."""
    found: dict[str, None] = {}
    for stream in _pickles_in(path):
        texts: list[str] = []
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    found[str(argument).replace(" ", ".")] = None
                elif opcode.name == "STACK_GLOBAL":
                    found[".".join(texts[-2:])] = None
                elif isinstance(argument, str):
                    texts.append(argument)
        except ValueError:
            continue  # the raw numbers behind the last pickle, or a damaged one
    return list(found)


def _pickles_in(path: Path) -> Iterator[Any]:
    if not zipfile.is_zipfile(path):
        # Mapped, because a length in a damaged file may ask for more than there is memory.
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _ in range(OLD_PICKLES):
                yield data
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("data.pkl"):
                yield archive.read(name)


def vet_script(path: Path) -> None:
    """Refuses a TorchScript program that would reach files or other machines.

    Raises:
        UnsafeSource: naming the function.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/code/" in name and name.endswith(".py"):
                hit = REACHING_OUT.search(archive.read(name).decode("utf-8", "replace"))
                if hit:
                    raise UnsafeSource(str(path), f"a TorchScript program that calls {hit[0]}", WAY_OUT)


def vet_program(path: Path) -> None:
    """Refuses an exported program whose text is more than arithmetic over PyTorch's operators.

    Raises:
        UnsafeSource: naming the text.
        InvalidSource: if it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json") and ("models/" in name or "serialized_exported_program" in name):
                try:
                    texts = list(_evaluated(json.loads(archive.read(name))))
                except ValueError as error:
                    raise InvalidSource(str(path), f"{name} in it is not JSON") from error
                for text in texts:
                    _vet_text(path, *text)


def _evaluated(entry: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a program that PyTorch evaluates or looks up, with its key."""
    if isinstance(entry, dict):
        for name, value in entry.items():
            if key == "range_constraints":
                yield "expr_str", name
            yield from _evaluated(value, name)
    elif isinstance(entry, list):
        for value in entry:
            yield from _evaluated(value, key)
    elif isinstance(entry, str) and key in (*EXPRESSIONS, *FUNCTION_NAMES):
        yield key, entry


def _vet_text(path: Path, key: str, text: str) -> None:
    if key in FUNCTION_NAMES:
        # Names that lead nowhere in PyTorch (parameters, submodules) are never called.
        is_safe = OPERATOR.fullmatch(text) is not None or not text.startswith(("torch", "math", "_operator"))
        is_safe = is_safe and REACHING_OUT.search(text.removeprefix("torch.")) is None
    else:
        is_safe = is_arithmetic(text)
    if not is_safe:
        raise UnsafeSource(str(path), f"an exported program with {text[:60]!r} in it", WAY_OUT)


def is_arithmetic(text: str) -> bool:
    """Whether a text of Python is nothing but arithmetic on sizes: `L['x'].size()[2] >= 8`, `Max(1, s0 // 2)`."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return all(isinstance(node, ARITHMETIC) and _is_plain(node) for node in nodes)


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name in FUNCTIONS
    if isinstance(node, ast.Attribute):
        return node.attr in FUNCTIONS
    if isinstance(node, ast.Name):
        return "__" not in node.id
    # The names of symbols and inputs are texts too.
    return (
        not (isinstance(node, ast.Constant) and isinstance(node.value, str))
        or node.value.replace(".", "_").isidentifier()
    )
