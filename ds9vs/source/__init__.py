"""What a disc or file holds (`probe`), and its tape (`source`): VOB, VIDEO_TS, ISO, MPEG-2, Matroska, TS, MP4.

`tape` opens clips; `disc` describes, from bytes that `streams` (MPEG-2 and what carries it), `dvd` (IFO tables, ISO
images) and `containers` (Matroska, MP4) read. Imports ground rooms only; of these files each imports those named after
it.
"""

from .disc import Disc, Title, probe
from .streams import Audio, Subtitle, Video
from .tape import cache_folder, source

__all__ = ["Audio", "Disc", "Subtitle", "Title", "Video", "cache_folder", "probe", "source"]
