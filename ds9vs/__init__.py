"""VapourSynth functions that restore hybrid film/video television from DVD."""

__version__ = "0.1.0"
