"""Which ONNX Runtime runs, and on what: nothing is replaced in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from explain_graphs import colours

from onnxcam import providers
from onnxcam.engine import Explainer
from onnxcam.errors import InvalidProviderOptions, ProviderNotAvailable, RuntimeMissing
from onnxcam.providers import CPU, CUDA, PROVIDERS, load_runtime, named, open_session

ROOT = Path(__file__).parent.parent


def python(code: str, *, path: Path = ROOT, **variables: str) -> str:
    """What the code prints in a process of its own, where `path` comes first among the modules."""
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)]), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def fake_runtime(folder: Path, code: str) -> Path:
    (folder / "onnxruntime").mkdir()
    (folder / "onnxruntime" / "__init__.py").write_text(code)
    return folder


LOAD = "from onnxcam.providers import load_runtime\nprint(load_runtime().SEEN)"
SPY = "import os\nInferenceSession = None\nSEEN = os.environ.get('ORT_DISABLE_TELEMETRY')"


@pytest.mark.parametrize(("variables", "seen"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_telemetry_is_off_before_the_import_unless_the_user_has_spoken(
    tmp_path: Path, variables: dict[str, str], seen: str
) -> None:
    assert python(LOAD, path=fake_runtime(tmp_path, SPY), **variables) == seen


@pytest.mark.parametrize("code", ["raise ImportError('libcudart.so.13: no such file')", "", "import nowhere"])
def test_a_missing_or_broken_runtime_is_an_error_with_the_remedy(tmp_path: Path, code: str) -> None:
    ask = (
        "from onnxcam.errors import RuntimeMissing\nfrom onnxcam.engine import Explainer\n"
        "try:\n    Explainer(b'x')\nexcept RuntimeMissing as error:\n    print(error)"
    )
    assert 'pip install "onnxcam[cpu]"' in python(ask, path=fake_runtime(tmp_path, code))


def test_without_the_package_the_error_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeMissing, match=r"pip install \"onnxcam\[cpu\]\""):
        providers.load_runtime()


def test_the_run_half_brings_in_neither_onnx_nor_a_framework(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(colours().SerializeToString())
    code = (
        "import sys, numpy, onnxcam\n"
        f"found = onnxcam.Explainer({str(tmp_path / 'm.onnx')!r}, threads=1)(numpy.zeros((9, 9, 3), 'uint8'), 0)\n"
        f"found.overlay(contour=True, box=True, legend=True).save({str(tmp_path / 'cam.png')!r})\n"
        "heavy = {'onnx', 'torch', 'tensorflow', 'keras', 'matplotlib', 'PIL', 'scipy', 'sklearn', 'pandas'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    assert python(code) == "[]"
    assert (tmp_path / "cam.png").stat().st_size > 0


def test_the_default_is_cuda_where_there_is_one_and_the_cpu_behind_it() -> None:
    for available, expected in (([CPU], [CPU]), ([CPU, "DmlExecutionProvider", CUDA], [CUDA, CPU])):
        runtime = SimpleNamespace(get_available_providers=lambda listed=available: listed)
        assert [name for name, _ in named(None, runtime)] == expected


def test_short_and_full_names_and_options_are_understood() -> None:
    runtime = SimpleNamespace(get_available_providers=lambda: list(PROVIDERS.values()))
    asked = ["CUDA", ("cuda", {"device_id": 1}), CPU, "openvino"]
    assert named(asked, runtime) == [(CUDA, {}), (CUDA, {"device_id": 1}), (CPU, {}), (PROVIDERS["openvino"], {})]


@pytest.mark.parametrize(
    ("asked", "words"), [("rocm", "is not in this ONNX Runtime"), ("cudda", "Did you mean 'cuda'")]
)
def test_a_provider_that_is_not_available_is_an_error_that_names_those_that_are(asked: str, words: str) -> None:
    with pytest.raises(ProviderNotAvailable, match=words) as raised:
        Explainer(colours().SerializeToString(), providers=[asked, "cpu"])
    assert "Available here: " in str(raised.value)
    assert "cpu" in str(raised.value)


class Session:
    """A session that runs on the CPU, whatever was asked for."""

    def __init__(self, source: Any, **given: Any) -> None:
        assert given["enable_fallback"] == 0

    def get_providers(self) -> list[str]:
        return [CPU]


def test_a_provider_that_does_not_start_is_an_error_and_not_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = load_runtime()
    runtime = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=Session,
        capi=onnxruntime.capi,
    )
    monkeypatch.setattr(providers, "load_runtime", lambda: runtime)
    for asked in (None, ["cuda"], ["cuda", "cpu"]):
        with pytest.raises(ProviderNotAvailable, match="'cuda' is in this ONNX Runtime but does not start"):
            open_session(b"", providers=asked)


def test_options_that_the_runtime_refuses_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = load_runtime()

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError('Unknown provider option: "divice_id".')

    runtime = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=refuse,
        capi=onnxruntime.capi,
    )
    monkeypatch.setattr(providers, "load_runtime", lambda: runtime)
    with pytest.raises(InvalidProviderOptions, match="refuses the options for cuda"):
        open_session(b"", providers=[("cuda", {"divice_id": 1})])


def test_threads_memory_and_spinning_reach_the_session() -> None:
    session = open_session(colours().SerializeToString(), threads=1, arena=False, spinning=True)
    options = session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert not options.enable_cpu_mem_arena
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    calm = open_session(colours().SerializeToString(), threads=1).get_session_options()
    assert calm.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_explainer_says_what_runs_it() -> None:
    explain = Explainer(colours().SerializeToString(), providers=["cpu"], threads=1)
    assert explain.providers == ("cpu",)
    assert explain(np.zeros((4, 4, 3), np.uint8)).target_index == 0
