"""The modified backward passes by name."""

from __future__ import annotations

from onnxcam.autodiff.backward import composites, guided, relevance
from onnxcam.autodiff.backward.attention import transformers
from onnxcam.autodiff.backward.composites import uniform
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.errors import UnknownChoice

BACH = "Bach et al. 2015"
MONTAVON = "Montavon et al. 2017"

TABLES: dict[str, BackwardTable] = {
    table.name: table
    for table in (
        guided.gradient_table(),
        guided.guided_table(),
        guided.guided_smooth_table(),
        guided.deconvnet_table(),
        uniform("lrp-epsilon", "LRP, epsilon (10⁻⁶) for all linear layers.", BACH, rule=relevance.epsilon()),
        uniform(
            "lrp-gamma", "LRP, gamma (0.25) for all linear layers.", "Montavon et al. 2019", rule=relevance.gamma()
        ),
        uniform(
            "lrp-z-plus", "LRP, z-plus (alpha 1, beta 0) for all linear layers.", MONTAVON, rule=relevance.z_plus()
        ),
        uniform(
            "lrp-alpha2beta1",
            "LRP, alpha 2, beta 1 for all linear layers.",
            BACH,
            rule=relevance.alpha_beta(2.0, 1.0),
        ),
        uniform("lrp-w-square", "LRP, w² for all linear layers.", MONTAVON, rule=relevance.w_square()),
        uniform("lrp-flat", "LRP, flat for all linear layers.", "Lapuschkin et al. 2019", rule=relevance.flat()),
        composites.epsilon_plus(),
        composites.epsilon_plus_flat(),
        composites.epsilon_alpha2_beta1(),
        composites.epsilon_alpha2_beta1_flat(),
        composites.epsilon_gamma_box(),
        transformers(),
    )
}


def rules_named(name: str) -> BackwardTable:
    """The table of that name.

    Raises:
        UnknownChoice: if there is none.
    """
    if name not in TABLES:
        raise UnknownChoice("backward table", name, TABLES)
    return TABLES[name]
