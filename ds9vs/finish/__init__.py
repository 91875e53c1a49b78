"""The last step: edges and shape (`geometry`), gradients (`deband`), colour (`colour`), legal values
(`levels`), letterboxed shots (`bars`), colour timing (`grade`), HDR10 and
HLG (`hdr`), and all of it (`output`).

May import the ground rooms and what lies in this folder.
"""

from .bars import Bars, ShotBars, measure_bars, paint_bars
from .deband import deband
from .geometry import crop, measure_edges
from .grade import Grade, Timing
from .hdr import Light, measure_light
from .levels import measure_levels, report_levels
from .output import finish

__all__ = [
    "Bars",
    "Grade",
    "Light",
    "ShotBars",
    "Timing",
    "crop",
    "deband",
    "finish",
    "measure_bars",
    "measure_edges",
    "measure_levels",
    "measure_light",
    "paint_bars",
    "report_levels",
]
