"""What may import what, and how light each half is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "onnxcam"
# A module imports only from lower floors, or from its own package.
FLOORS = {
    "errors": 0,
    "registry": 0.05,
    # the run half
    "files": 0.1, "exif": 0.1, "metadata": 0.1, "resizing": 0.1, "geometry": 0.1, "labels": 0.1,
    "ranges": 0.05, "other_names": 0.05, "remarks": 0.1, "records": 0.15, "parameters": 0.1,
    "fillings": 0.1, "normalizing": 0.2, "drivers": 0.3, "arrays": 0.1, "portions": 0.1,
    "images": 0.2, "phrases": 0.15, "targets": 0.2, "providers": 0.2,
    "preprocessing": 0.3, "picture": 0.3, "regions": 0.3, "signature": 0.3,
    "overlay": 0.32, "guides": 0.32, "video": 0.32,
    "legend": 0.34,
    "channels": 0.36, "sessions": 0.36, "grid": 0.36, "signals": 0.36, "volumes": 0.36,
    "asking": 0.37, "driving": 0.38,
    "explanation": 0.4, "judgement": 0.42, "array_explanation": 0.42, "shots": 0.44,
    "explaining": 0.45,
    "engine": 0.5, "evaluation": 0.6,
    # the build half
    "graph": 1,
    "autodiff": 2,
    "facts": 2.1, "layouts": 2.2, "naming": 2.2,
    "layer": 3, "scores": 3, "places": 3, "principal": 3.1, "seeds": 3.2, "repetition": 3,
    "enlarging": 2.9, "conventions": 3, "columns": 3.3, "question": 3.4, "methods": 3.6,
    "linear_head": 3.9, "assembly": 4, "other_inputs": 4.1, "planning": 4.3,
    # both
    "check": 0.1, "description": 4.2, "factories": 4.8, "conversion": 5, "checking": 5.1, "sources": 5.15, "sums": 5.15,
    "jobs": 5.1, "api": 5.2, "gradients": 5.2, "folders": 5.2, "footage": 5.25, "demo": 5.4, "console": 5.4,
    "comparison": 5.3, "factorization": 5.3, "reports": 5.45, "commands": 5.95,
    "randomization": 5.3, "assessment": 5.35, "appraisal": 5.4,
    "diagnosis": 5.6, "opening": 5.6, "options": 5.8,
    "cli": 6,
    "__init__": 7, "__main__": 7,
}  # fmt: skip
RUN_HALF = [name for name, floor in FLOORS.items() if floor < 1 and name != "errors"]
EXTRAS = {
    "scipy",
    "skimage",
    "sklearn",
}  # of drivers, imported inside what needs them
FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "matplotlib")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def home(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of what a file imports when it runs; what only type checkers read does not count."""
    found: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        stack.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path: Path):
    mine = FLOORS[home(path)]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "onnxcam" and len(parts) > 1 and parts[1] != home(path):
            assert FLOORS[parts[1]] < mine, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_a_framework(path: Path):
    assert not [name for name in imported(path) if name.split(".")[0] in FRAMEWORKS]


@pytest.mark.parametrize("name", RUN_HALF)
def test_the_run_half_knows_nothing_of_onnx(name: str):
    paths = sorted((PACKAGE / name).rglob("*.py")) or [PACKAGE / f"{name}.py"]
    outside = {module.split(".")[0] for path in paths for module in imported(path)} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "cv2", "onnxruntime", "onnxcam"} | (EXTRAS if name == "drivers" else set())


def test_only_graph_speaks_protobuf():
    for path in modules():
        if home(path) != "graph":
            assert not [name for name in imported(path) if name.startswith("onnx.")], path


def test_every_error_can_be_imported_from_the_package_of_errors():
    from onnxcam import errors

    for path in (PACKAGE / "errors").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            assert not isinstance(node, ast.ClassDef) or hasattr(errors, node.name), f"{path.name}: {node.name}"


def test_loading_an_explain_graph_brings_in_neither_onnx_nor_a_framework(tmp_path: Path):
    script = (
        "import sys, onnxcam\n"
        "onnxcam.Explainer(sys.argv[1])\n"
        "heavy = {'onnx', 'torch', 'tensorflow', 'keras', 'matplotlib', 'PIL', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    from onnxcam import convert
    from onnxcam.demo import MODEL

    path = tmp_path / "demo.explain.onnx"
    convert(MODEL).save(path)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    import onnxcam

    for name in onnxcam.__all__:
        assert getattr(onnxcam, name) is not None
    assert set(onnxcam.__all__) <= set(dir(onnxcam))
