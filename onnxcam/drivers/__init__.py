"""Methods that need many passes through the model; every module here adds its rows to `DRIVERS`."""

from onnxcam.drivers import scorecam as scorecam  # isort: skip - the table lists them in this order
from onnxcam.drivers import smooth_gradcam as smooth_gradcam  # isort: skip
from onnxcam.drivers import smoothing as smoothing  # isort: skip
from onnxcam.drivers import integrated as integrated  # isort: skip
from onnxcam.drivers import conductance as conductance  # isort: skip
from onnxcam.drivers import blurring as blurring
from onnxcam.drivers import expected as expected
from onnxcam.drivers import guided_path as guided_path
from onnxcam.drivers import xrai as xrai

from onnxcam.drivers import occlusion as occlusion  # isort: skip
from onnxcam.drivers import rise as rise  # isort: skip
from onnxcam.drivers import drise as drise  # isort: skip
from onnxcam.drivers import aise as aise
from onnxcam.drivers import aise_boxes as aise_boxes
from onnxcam.drivers import grids as grids
from onnxcam.drivers import kernelshap as kernelshap
from onnxcam.drivers import lime as lime
from onnxcam.drivers import pieces as pieces

from onnxcam.drivers import augmenting as augmenting  # isort: skip - these go around another method
from onnxcam.drivers import sess as sess

from onnxcam.drivers import peers as peers  # isort: skip - variants of those above
from onnxcam.drivers.probe import BLANKS, Floats, Probe, Progress, from_functions
from onnxcam.drivers.table import DRIVERS, VARIANTS, Driver, driver, find, variant

__all__ = [
    "BLANKS", "DRIVERS", "VARIANTS", "Driver", "Floats", "Probe", "Progress", "driver", "find", "from_functions",
    "variant",
]  # fmt: skip
