"""Loss functions on the CPU: value, gradient and Hessian in one pass.

`losses` lists them, `Loss` documents what each can do, `evaluate` scores stored predictions, `show_config` says what
runs.
"""

from . import _core
from ._activation import Activation as Activation
from ._activation import activations as activations
from ._config import apply_environment as _apply_environment
from ._config import get_isa as get_isa
from ._config import get_num_threads as get_num_threads
from ._config import num_threads as num_threads
from ._config import set_isa as set_isa
from ._config import set_num_threads as set_num_threads
from ._config import show_config as show_config
from ._loss import Loss as Loss
from ._loss import losses as losses
from ._mask_metrics import mask_dice as mask_dice
from ._mask_metrics import mask_iou as mask_iou
from ._metrics import Metric as Metric
from ._metrics import accuracy as accuracy
from ._metrics import expected_calibration_error as expected_calibration_error
from ._metrics import metrics as metrics
from .activation import *
from .angular_margin import *
from .binary import *
from .contrastive import *
from .cosent import *
from .detection import *
from .distribution import *
from .divergence import *
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .generative import *
from .likelihood import *
from .linear import *
from .linear_preference import *
from .metric import *
from .metric_learning import *
from .mining import *
from .multiclass import *
from .multilabel import *
from .ordinal import *
from .preference import *
from .ranking import *
from .regression import *
from .robust import *
from .segmentation import *
from .self_supervised import *
from .verification import *

__version__: str = _core.__version__

_apply_environment()
