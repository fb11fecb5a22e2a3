"""How good heatmaps are: metrics on pictures, their maps, and a model that answers questions. Run half."""

from onnxcam.evaluation import deletion as deletion  # isort: skip - the table lists them in this order
from onnxcam.evaluation import road as road  # isort: skip
from onnxcam.evaluation import confidence as confidence  # isort: skip
from onnxcam.evaluation import fidelity as fidelity  # isort: skip
from onnxcam.evaluation import localisation as localisation  # isort: skip
from onnxcam.evaluation import complexity as complexity  # isort: skip
from onnxcam.evaluation import sanity as sanity  # isort: skip
from onnxcam.evaluation.case import Case, Curve
from onnxcam.evaluation.results import Evaluation, Mean, Row
from onnxcam.evaluation.table import METRICS, Metric, find_metrics, metric

__all__ = ["METRICS", "Case", "Curve", "Evaluation", "Mean", "Metric", "Row", "find_metrics", "metric"]
