"""VapourSynth functions that restore hybrid film/video television from DVD.

The public names, in the order a picture walks. Importing is quick and loads no plugin: `vs.core` wakes with the first
call. Some rooms bear the name of their main function (`ds9vs.clean`): the name is always the function; the room's other
names are imported from it (`from ds9vs.clean import ...`).
"""

from .cadence import Cadence, analyse, load_cadence
from .clean import clean
from .deinterlace import deinterlace, qtgmc
from .encode import encode, x265_args
from .finish import finish
from .finish.deband import deband
from .finish.geometry import crop
from .grain import GrainModel, add_grain, load_grain, measure_grain, reinject_grain
from .ivtc import ivtc
from .restore import beside, provenance, restore
from .rife import rife
from .shots.treat import per_shot
from .simulate import simulate
from .source import Disc, Title, probe, source
from .steady import steady
from .upscale import upscale
from .upscale.guard import guard
from .view import compare, show

__version__ = "0.1.0"

__all__ = [
    "Cadence",
    "Disc",
    "GrainModel",
    "Title",
    "add_grain",
    "analyse",
    "beside",
    "clean",
    "compare",
    "crop",
    "deband",
    "deinterlace",
    "encode",
    "finish",
    "guard",
    "ivtc",
    "load_cadence",
    "load_grain",
    "measure_grain",
    "per_shot",
    "probe",
    "provenance",
    "qtgmc",
    "reinject_grain",
    "restore",
    "rife",
    "show",
    "simulate",
    "source",
    "steady",
    "upscale",
    "x265_args",
]
