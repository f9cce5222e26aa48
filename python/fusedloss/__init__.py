"""Loss functions on the CPU: value, gradient and Hessian in one pass.

`losses` lists them, `Loss` documents what each can do, `evaluate` scores stored predictions, `show_config` says what runs.
"""

from . import _core
from ._config import apply_environment as _apply_environment
from ._config import get_isa, get_num_threads, num_threads, set_isa, set_num_threads, show_config
from ._loss import Loss, losses
from .binary import *
from .divergence import *
from .evaluation import Evaluation, evaluate
from .likelihood import *
from .preference import *
from .ranking import *
from .regression import *
from .robust import *

__version__: str = _core.__version__

_apply_environment()
