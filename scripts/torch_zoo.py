"""Converts a member of every timm family and torchvision's nets, with random weights, and writes docs/torch-zoo.md.

python scripts/torch_zoo.py                runs what is not in the cache yet, then writes the table
python scripts/torch_zoo.py --only NAME    runs one again
python scripts/torch_zoo.py --layers       finds the default layers again, in the models converted before
python scripts/torch_zoo.py --write        writes the table only

Every net has its own process. Converted models and results lie in --cache, which outlives the run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers import result_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "torch-zoo.md"
TIMEOUT_S = 600
# The smallest of each family with weights of its own kind; a family is a module of timm.models.
TIMM = """
beit_base_patch16_224 halonet_h1 mobileone_s1 cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 convnext_zepto_rms
cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deepseek_vit_412m deit_tiny_patch16_224
densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_lite0 efficientvim_m1
efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny
gemma4_vit_167m ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny hrnet_w18_small iformer_t
inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small levit_128s lowformer_b0 test_mambaout
maxvit_pico_rw_256 poolformerv2_s12 gmlp_ti16_224 mobilenetv3_small_050 mobilenetv5_base mobilevit_xxs mvitv2_tiny
naflexvit_base_patch16_parfac_gap nasnetalarge nest_tiny_jx nextvit_small test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0
qwen3_vit_88m rdnet_tiny regnetx_002 repghostnet_050 repvit_m1 res2next50 resnest14d resnet18 resnetv2_18 rexnet_100
selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window16_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11
visformer_tiny test_vit vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224
ese_vovnet19b_slim_dw legacy_xception xception41p xcit_nano_12_p8_224 vit_tiny_patch16_224 mixer_s32_224
""".split()
TORCHVISION = """
alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet inception_v3 mobilenet_v2
mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 squeezenet1_1 efficientnet_b0 efficientnet_v2_s regnet_y_400mf
convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t
""".split()
# What does not fit in the memory of a small machine, made shallower.
SMALLER = {"timm:deepseek_vit_412m": {"depth": 4}, "timm:gemma4_vit_167m": {"depth": 2}}
COLUMNS = ("net", "route", "batch of 1", "batch of 3", "modules", "equal", "default layer", "is right", "seconds")


def main() -> None:
    """Runs the nets asked for and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "torch-zoo")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    names = [f"timm:{name}" for name in TIMM] + [f"torchvision:{name}" for name in TORCHVISION]
    chosen = [name for name in names if not asked.only or {name, name.partition(":")[2]} & set(asked.only)]
    for name in () if asked.write else chosen:
        folder = asked.cache / name.replace(":", "-")
        is_new = not (folder / "export.json").exists()
        if not asked.layers and (is_new or asked.only):
            run("export", name, folder)
        if asked.layers or asked.only or is_new or not (folder / "layer.json").exists():
            run("layer", name, folder)
    rows = [row(name, asked.cache / name.replace(":", "-")) for name in names]
    write([found for found in rows if found])


def run(step: str, name: str, folder: Path) -> None:
    """Leaves the step's result, a JSON object, in the net's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    script, smaller = ROOT / "scripts" / "torch_zoo_worker.py", json.dumps(SMALLER.get(name, {}))
    started = time.monotonic()
    result = result_of(script, step, name, str(folder), smaller, timeout_s=TIMEOUT_S)
    (folder / f"{step}.json").write_text(json.dumps(result))
    print(f"{time.monotonic() - started:6.1f} s  {step:6}  {name}  {result.get('failure', '')}", flush=True)


def row(name: str, folder: Path) -> dict[str, Any] | None:
    """What is known of a net, None where it was not run yet."""
    found: dict[str, Any] = {"net": name}
    for step in ("export", "layer"):
        path = folder / f"{step}.json"
        if not path.exists():
            return None
        found.update(json.loads(path.read_text()))
    return found


def write(rows: Sequence[dict[str, Any]]) -> None:
    """The table and its sums between the markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    for marker, content in (("sums", sums(rows)), ("zoo", table(rows)), ("failures", failures(rows))):
        start, end = f"<!-- {marker} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{content}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text, encoding="utf-8")


def sums(rows: Sequence[dict[str, Any]]) -> str:
    """How many of them go well."""
    exact = sum(max(found.get("errors", [9])) <= 1e-4 for found in rows)
    right = sum(bool(found.get("is_right")) for found in rows)
    modules, equal = (sum(found.get(key, 0) for found in rows) for key in ("modules", "equal"))
    return (
        f"Of {len(rows)} nets {exact} are converted to within 1e-4 relative L2 at both batches; "
        f"the default layer is right in {right}. Of {modules} modules with an output on the way to the score, {equal} "
        "have it as a tensor in the file, under their path, equal to within 1e-4."
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a net."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for found in rows:
        if "errors" in found:
            one, three = (f"{error:.1e}" for error in found["errors"])
            cells = [f"`{found['net']}`", found["route"], one, three, found["modules"], found["equal"]]
            cells += [
                f"`{found.get('layer', '')}`",
                {True: "yes", False: "no"}.get(found.get("is_right"), ""),
                found["seconds"],
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def failures(rows: Sequence[dict[str, Any]]) -> str:
    """One line a net that is not converted, or whose default layer is not the expected one."""
    lines = [f"- `{found['net']}`: {found['failure']}" for found in rows if "failure" in found]
    lines += [
        f"- `{found['net']}`: {len(found['unequal'])} modules are not equal: {', '.join(found['unequal'][:5])}."
        for found in rows
        if found.get("unequal")
    ]
    lines += [
        f"- `{found['net']}`: the default layer is `{found['layer']}`, expected was {found['expected']}."
        for found in rows
        if found.get("is_right") is False
    ]
    return "\n".join(lines) or "None."


if __name__ == "__main__":
    main()
