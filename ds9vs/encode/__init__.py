"""From a clip to a file: x265 arguments, the pipe from vspipe, and reading back what came out."""

from .pipe import encode, encoded_files, mux, script_facts
from .verify import VideoFile, read_video
from .x265 import x265_args

__all__ = ["VideoFile", "encode", "encoded_files", "mux", "read_video", "script_facts", "x265_args"]
