"""Which converter takes what, converters of third parties, and the check of what they give."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, parser

import onnxcam
from onnxcam import conversion, errors
from onnxcam.check import Check
from onnxcam.checking import check, compare, random_inputs
from onnxcam.conversion import Conversion, Reference, Request
from onnxcam.facts import author_facts, note

EXAMPLE = Path(__file__).parent.parent / "docs" / "example-converter"


class Entry:
    """An entry point, as far as it is looked at."""

    def __init__(self, name: str, function) -> None:
        self.name, self.value, self.load = name, name, lambda: function


def doubling() -> ModelProto:
    return _model("g (float[N,2] x) => (float[N,2] y) <float[1] two = {2}> { y = Mul(x, two) }")


def _model(graph: str) -> ModelProto:
    return parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {graph}')


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    def register(*names: str):
        seen: list[Request] = []

        def convert(request: Request) -> ModelProto:
            seen.append(request)
            return doubling()

        monkeypatch.setattr(conversion, "converters", lambda: {name: Entry(name, convert) for name in names})
        return seen

    return register


def test_a_file_goes_to_the_converter_of_its_suffix(registered, tmp_path: Path):
    seen, path = registered(".toy"), tmp_path / "net.TOY"
    path.touch()
    conversion.convert_source(Request(source=path))
    assert seen[0].source == path


def test_a_file_that_is_not_there_is_said_before_its_converter_is_called(registered):
    registered(".toy")
    with pytest.raises(errors.MissingModelFile, match=r"no model file 'gone\.toy'"):
        conversion.convert_source(Request(source="gone.toy"))


def test_a_folder_goes_to_the_converter_of_a_file_in_it(registered, tmp_path: Path):
    seen = registered("model.pdmodel", "other.txt")
    (tmp_path / "model.pdmodel").touch()
    conversion.convert_source(Request(source=tmp_path))
    assert seen[0].source == tmp_path


def test_a_prefix_goes_to_the_converter_of_that_name(registered):
    seen = registered("paddle")
    conversion.convert_source(Request(source="paddle:resnet18"))
    assert seen[0].source == "paddle:resnet18"


def test_a_live_object_goes_to_the_converter_of_its_parents_package(registered):
    class Net(Exception):
        """A child of a builtin."""

    seen = registered("builtins")
    conversion.convert_source(Request(source=Net()))
    assert isinstance(seen[0].source, Net)


def test_a_factory_is_called_and_what_it_gives_is_converted(registered, tmp_path: Path, monkeypatch):
    (tmp_path / "my_nets_of_test.py").write_text("class Net(Exception): ...\ndef build(): return Net()\n")
    monkeypatch.chdir(tmp_path)
    seen = registered("builtins")
    conversion.convert_source(Request(source="my_nets_of_test:build", weights=Path("w")))
    assert type(seen[0].source).__name__ == "Net"
    assert seen[0].weights == Path("w")


def test_a_path_with_a_colon_that_exists_is_a_path(registered, tmp_path: Path):
    seen = registered("a", ".toy")
    path = tmp_path / "a:b.toy"
    path.touch()
    conversion.convert_source(Request(source=path))
    assert seen[0].source == path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no_such_module_at_all:build", "No module named 'no_such_module_at_all'"),
        ("json:no_such", "has no attribute 'no_such'"),
        ("json:loads", "missing 1 required positional argument"),
    ],
)
def test_a_factory_that_cannot_be_called_is_said(registered, text: str, words: str):
    registered()
    with pytest.raises(errors.InvalidSource, match=words):
        conversion.convert_source(Request(source=text))


def test_a_converter_whose_framework_is_missing_says_which_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    entry = Entry("timm", lambda request: None)
    entry.load = lambda: __import__("no_such_framework")
    monkeypatch.setattr(conversion, "converters", lambda: {"timm": entry})
    words = r"timm:resnet18 cannot be read.*No module named 'no_such_framework'\. pip install \"onnxcam\[torch\]\""
    with pytest.raises(errors.NoConverter, match=words):
        conversion.convert_source(Request(source="timm:resnet18"))


def test_onnx_needs_no_converter():
    assert all(conversion.is_onnx(source) for source in ("a.onnx", Path("b.onnx"), b"", doubling(), "no-suffix"))
    assert not any(conversion.is_onnx(source) for source in ("a.h5", "timm:resnet18", "mypkg.nets:build", object()))


def test_a_converted_model_is_checked_against_its_reference():
    found = check(Conversion(doubling(), reference=Reference("numpy", lambda inputs: [inputs[0] * 2])))
    assert found.against == "numpy"
    assert found.relative_error < 1e-7
    assert found.agreement == 1
    assert not found.is_notable


def test_one_that_differs_a_little_is_told_and_one_that_differs_much_is_refused():
    def off_by(error: float) -> Conversion:
        return Conversion(doubling(), reference=Reference("numpy", lambda inputs: [inputs[0] * 2 * (1 + error)]))

    assert check(off_by(1e-3)).is_notable
    with pytest.raises(errors.ConversionMismatch, match=r"differs from numpy .* relative error 0\.33 .*--no-check"):
        check(off_by(0.5))


def test_not_a_number_where_the_framework_has_one_is_refused():
    model = _model("g (float[N,2] x) => (float[N,2] y) { z = Sub(x, x) y = Div(z, z) }")
    with pytest.raises(errors.ConversionMismatch, match="nan"):
        check(Conversion(model, reference=Reference("numpy", lambda inputs: inputs)))


def test_an_example_gives_the_shapes_and_not_the_numbers():
    seen = []

    def run(inputs):
        seen.append(inputs[0])
        return [inputs[0] * 2]

    check(Conversion(doubling(), reference=Reference("numpy", run, [np.zeros((1, 2), np.float32)])))
    assert seen[0].shape == (4, 2)
    assert seen[0].any()


def test_without_a_reference_the_graph_is_compared_with_itself():
    assert check(Conversion(doubling())).against == "itself, unoptimised"


def test_a_framework_that_refuses_its_own_file_is_no_reference():
    def run(inputs):
        raise errors.CannotConvert("net.h5", "this Keras cannot load it")

    assert check(Conversion(doubling(), reference=Reference("keras", run))).against == "itself, unoptimised"


def test_outputs_of_other_shapes_are_refused():
    with pytest.raises(errors.InvalidModelFile, match=r"\(4, 2\).* instead of .*\(4, 1\)"):
        check(Conversion(doubling(), reference=Reference("numpy", lambda inputs: [inputs[0][:, :1]])))


def test_disagreement_on_the_best_class_is_counted():
    a = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert compare("x", [a], [a[::-1]]).agreement == 0
    assert compare("x", [a], [a]).agreement == 1


def test_saturated_outputs_are_said_to_hide_differences():
    sure, unsure = np.array([[0.0, 1.0], [1e-9, 1.0]], np.float32), np.array([[0.1, 0.9]], np.float32)
    assert compare("x", [sure], [sure]).saturated
    assert "small differences would not show" in str(compare("x", [sure], [sure]))
    assert not compare("x", [unsure], [unsure]).saturated


def test_the_random_pictures_have_the_range_of_prepared_pixels():
    session = _Session([("tensor(float)", ["N", 3, 8, 8]), ("tensor(int64)", [1]), ("tensor(uint8)", ["N", 8, 8, 3])])
    pixels, number, bytes_ = random_inputs(session, {"preprocessing": {"preset": "raw"}})
    assert pixels.shape == (4, 3, 8, 8)
    assert 200 < pixels.max() <= 255
    assert number.dtype == np.int64
    assert bytes_.dtype == np.uint8


class _Session:
    def __init__(self, inputs) -> None:
        self._inputs = [type("Input", (), {"name": "x", "type": kind, "shape": shape}) for kind, shape in inputs]

    def get_inputs(self):
        return self._inputs


def test_facts_are_merged_and_empty_ones_left_out():
    model = doubling()
    note(model, layers={"a": "x"}, labels=None)
    note(model, layers={"b": "y"}, notes=["n"])
    assert author_facts(model) == {"layers": {"a": "x", "b": "y"}, "notes": ["n"]}
    assert len(model.metadata_props) == 1


def test_the_check_reads_as_a_sentence():
    text = str(Check("Keras 3", 1.2e-7, 1.0, 4))
    assert text == "relative error 1.2e-07, same best class in 100% of 4 random inputs, against Keras 3"


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the example of the docs, from a wheel as its build backend makes it."""
    folder = tmp_path_factory.mktemp("third-party")
    wheel = folder / "onnxcam_npz-1.0-py3-none-any.whl"
    info = "onnxcam_npz-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(EXAMPLE / "onnxcam_npz.py", "onnxcam_npz.py")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: onnxcam-npz\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        entry = "[onnxcam.converters]\n.npz = onnxcam_npz:convert\n"
        assert '".npz" = "onnxcam_npz:convert"' in (EXAMPLE / "pyproject.toml").read_text()
        archive.writestr(f"{info}/entry_points.txt", entry)
        archive.writestr(f"{info}/RECORD", "")
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", target, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return target


def call(third_party: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(third_party), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "onnxcam", *arguments]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)


def test_a_converter_that_somebody_else_installs_is_found_and_checked(third_party: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    net = {"kernel0": rng.normal(size=(4, 3, 3, 3)), "bias0": rng.normal(size=4), "head": rng.normal(size=(5, 4))}
    np.savez(tmp_path / "net.npz", **net)
    done = call(third_party, "convert", str(tmp_path / "net.npz"), "-o", str(tmp_path / "net.explain.onnx"))
    assert done.returncode == 0, done.stderr
    assert "against numpy" in done.stderr
    graph = onnxcam.Explainer(tmp_path / "net.explain.onnx").metadata
    assert graph.layers == ("conv0",)
    assert graph.conversion["route"] == "npz"
    assert graph.conversion["check"]["relative_error"] < 1e-5


def test_its_own_errors_are_one_line(third_party: Path, tmp_path: Path):
    (tmp_path / "net.npz").write_bytes(b"no zip")
    done = call(third_party, "layers", str(tmp_path / "net.npz"))
    assert done.returncode == 1
    assert "it is no net of convolutions" in done.stderr
    assert len(done.stderr.splitlines()) == 1
