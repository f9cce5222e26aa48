"""``python -m fusedloss``: the command `fusedloss`."""

import sys

from .cli import main

sys.exit(main())
