"""The command line: every verb's settings as flags, results as tables or JSON, faults as one line and exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, ValidationError
from pydantic import ValidationError as SettingsError

import ebmphys
from ebmphys import experiment as ex
from ebmphys.cli import tables

BAD_INPUT, INTERRUPTED = 2, 130

_EXAMPLES = {
    "generate": "ebmphys generate --size 32x32 --temperatures 1.8:3.0:13 --seed 1 --out data/ising-32.h5",
    "import": "ebmphys import --files mine_T=2.00.npy mine_T=2.25.npy --out data/mine.h5",
    "fit": "ebmphys fit --model rbm --data data/ising-32.h5 --temperature 2.3 --hidden 256 --out data/rbm-32.pt",
    "sample": "ebmphys sample --model data/rbm-32.pt --draws 1000 --chains 64 --out data/rbm-32.h5",
    "compare": "ebmphys compare --reference data/ising-32.h5 --sample data/rbm-32.h5 --out data/rbm-32",
    "exact": "ebmphys exact --size 32x32 --temperatures 2.269",
    "bench": "ebmphys bench --size 64x64 --chains 1024 --threads 1",
    "info": "ebmphys info data/ising-32.h5",
    "run": "ebmphys run experiments/demo.toml",
}

app = App(
    name="ebmphys",
    version=ebmphys.__version__,
    help=f"{ebmphys.__doc__}\n\nGenerate (or import) configurations, fit models to them, sample the models, compare.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(show_env_var=False),
)

Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print the result as JSON.")]


def _verb(
    name: str, settings: type[ex.Settings], work: Callable[[Any], dict[str, Any]], *, positional: bool = False
) -> None:
    """Make a command of a settings class: its fields are the flags, its docstring the help."""

    def command(*, values: Any, as_json: Any = False) -> None:
        before = ex.stamps(values)
        try:
            result = work(values)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(ex.after_interruption(values, before)) from None
        if as_json:
            sys.stdout.write(json.dumps(result, indent=1, allow_nan=False, default=str) + "\n")
        else:
            tables.show(name, result)

    def placed(values: Any, /, *, as_json: Any = False) -> None:
        command(values=values, as_json=as_json)

    chosen = placed if positional else command
    chosen.__doc__ = f"{settings.__doc__}\n\nExample: {_EXAMPLES[name]}"
    flags = Annotated[settings, Parameter(name="*")]  # type: ignore[valid-type]
    chosen.__annotations__ = {"values": flags, "as_json": Json, "return": None}
    app.command(chosen, name=name)


_verb("generate", ex.Generate, ex.generate)
_verb("import", ex.Import, ex.import_files)
_verb("fit", ex.Fit, ex.fit_model)
_verb("sample", ex.Sample, ex.sample)
_verb("compare", ex.Compare, ex.compare)
_verb("exact", ex.Exact, ex.exact)
_verb("bench", ex.Bench, ex.bench)
_verb("info", ex.Info, ex.info, positional=True)
_verb("run", ex.Run, lambda settings: ex.run(settings, tables.say), positional=True)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code: 0, 2 for bad input (one line on stderr), 130 after Ctrl-C."""
    try:
        app(sys.argv[1:] if arguments is None else arguments, exit_on_error=False, print_error=False)
        return 0
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", INTERRUPTED)
    except CycloptsError as error:
        return _fail(_said(error))
    except SettingsError as error:
        return _fail(ex.complaint(error))
    except (ValueError, OSError, ImportError) as error:
        return _fail(str(error))


def _said(error: CycloptsError) -> str:
    """The fault in one line: what the settings said of it, where it was theirs."""
    cause = error.__cause__
    if isinstance(error, ValidationError) and isinstance(cause, SettingsError):
        return ex.complaint(cause)
    return " ".join(str(error).split())


def _fail(message: str, code: int = BAD_INPUT) -> int:
    sys.stderr.write(f"ebmphys: {' '.join(message.split())}\n")
    return code
