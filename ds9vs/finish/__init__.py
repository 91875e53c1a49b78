"""The last step: edges and shape (`geometry`), gradients (`deband`), colour (`colour`), and all of it (`output`).

May import the ground rooms and what lies in this folder.
"""

from .deband import deband
from .geometry import crop, measure_edges
from .output import finish, measure_levels

__all__ = ["crop", "deband", "finish", "measure_edges", "measure_levels"]
