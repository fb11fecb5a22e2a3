"""Deep feature factorisation: the few concepts that a layer's activations are made of, shared by several pictures."""

from onnxcam.factorization.decomposition import Decomposition, check_factorizing, decompose
from onnxcam.factorization.results import Concept, Factorization
from onnxcam.factorization.running import Factorizer, Seen, factorize, of_each
from onnxcam.factorization.tail import Tail

__all__ = [
    "Concept",
    "Decomposition",
    "Factorization",
    "Factorizer",
    "Seen",
    "Tail",
    "check_factorizing",
    "decompose",
    "factorize",
    "of_each",
]
