"""Film grain: measured on a disc, kept as plain data, given back at the output's size.

Estimator, model and synthesiser are three things: `measure_grain` -> `GrainModel` -> `add_grain`. Imports ground rooms
only. Evaluating a script never measures: only `measure_grain` reads frames and encodes.
"""

from .coding import disc_coding
from .measure import measure_grain
from .model import GrainModel, gaussian_spectrum, load_grain
from .synthesise import add_grain, reinject_grain
from .tables import export_table, import_table

__all__ = [
    "GrainModel",
    "add_grain",
    "disc_coding",
    "export_table",
    "gaussian_spectrum",
    "import_table",
    "load_grain",
    "measure_grain",
    "reinject_grain",
]
