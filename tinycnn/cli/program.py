"""The parser of the command line, and the frame that each command runs in.

::

    main(["predict", "photo.png"]) -> parser -> options.run(options) -> 0, 1, 2 or 130
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import tinycnn
from tinycnn.cli import (
    bench,
    convert,
    describe,
    doctor,
    evaluate,
    explain,
    output,
    predict,
    serve,
    train,
    verify,
)

FINE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
READER_GONE = 141  # what a shell reports for a program that wrote into a closed pipe
Options = argparse.Namespace

DESCRIPTION = """\
Train, evaluate, use and inspect convolutional networks. Without a model, a command
takes the network that comes with the package, trained on MNIST."""
EPILOG = """\
exit status:
  0    fine
  1    the work failed: a missing file, wrong data, a problem that doctor found,
       a run that differs from its receipt
  2    wrong usage
  130  interrupted by Ctrl-C

An error is one line on stderr. --traceback, or TINYCNN_DEBUG=1, shows its origin.
TINYCNN_QUIET=1 silences the notice that kernels are compiled."""


class Command(NamedTuple):
    """A command: its line in `--help`, its options, its function, and whether it has `--json`."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Options], int]
    json: bool = True


COMMANDS = {
    "train": Command(
        "train mnist_cnn, test it once, write it to a file", train.add_options, train.run, False
    ),
    "verify": Command("train a run again, and compare its weights", verify.add_options, verify.run),
    "evaluate": Command("accuracy on test images, with interval", evaluate.add_options, evaluate.run),
    "predict": Command("the digit in each picture", predict.add_options, predict.run),
    "summary": Command("the layers of a model", describe.add_summary_options, describe.summary),
    "convert": Command("a model in another file format", convert.add_options, convert.run),
    "inspect": Command("what a model file holds", describe.add_inspect_options, describe.inspect),
    "explain": Command("which algorithm runs, and why; or a picture", explain.add_options, explain.run),
    "serve": Command("a page to draw on, that shows every number", serve.add_options, serve.run, json=False),
    "bench": Command("time training and inference here, briefly", bench.add_options, bench.run),
    "doctor": Command("check the installation and this machine", doctor.add_options, doctor.run),
}


class Parser(argparse.ArgumentParser):
    """A parser whose error is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and end with the status of wrong usage."""
        output.error(f"{message} ({self.prog} --help shows the options)")
        raise SystemExit(WRONG_USAGE)


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog=output.PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinycnn {tinycnn.__version__}")
    _add_traceback(parser, default=False)
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        own = parsers.add_parser(name, help=command.help, description=_sentence(command.run.__doc__))
        command.add_options(own)
        if command.json:
            own.add_argument("--json", action="store_true", help="print one JSON object")
        _add_traceback(own, default=argparse.SUPPRESS)  # SUPPRESS: does not undo `tinycnn --traceback train`
        own.set_defaults(run=command.run, parser=own)
    return parser


def _add_traceback(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--traceback", action="store_true", default=default, help="show where an error came from"
    )


def _sentence(docstring: str | None) -> str:
    """Return the first paragraph of a docstring."""
    return " ".join((docstring or "").partition("\n\n")[0].split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status. No exception leaves it.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; by default those of the process.
    """
    with output.prepared_streams():
        try:
            status = _obey(arguments)
            output.flush()
        except BrokenPipeError:  # `tinycnn ... | head`: the reader has seen enough
            output.abandon()
            return READER_GONE
        except OSError as error:  # stdout again: a full disk
            output.abandon()
            output.error(f"stdout: {error.strerror or error}")
            return FAILED
    return status


def _obey(arguments: Sequence[str] | None) -> int:
    """Parse and run, and turn exceptions into lines and numbers; only those of stdout itself go on."""
    options = argparse.Namespace(traceback=False, parser=None)
    try:
        make_parser().parse_args(arguments, options)
        status: int = options.run(options)
    except SystemExit as stop:  # argparse, after --help, --version or an error
        return stop.code if isinstance(stop.code, int) else FINE
    except KeyboardInterrupt:
        output.note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except output.UsageError as error:
        try:
            options.parser.error(str(error))
        except SystemExit:
            return WRONG_USAGE
    except Exception as error:
        if options.traceback or os.environ.get("TINYCNN_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        output.error(output.sentence(error))
        return FAILED
    return status


def run_alone(
    add_options: Callable[[argparse.ArgumentParser], None],
    run: Callable[[Options], int],
    arguments: Sequence[str] | None = None,
    **defaults: Any,
) -> None:
    """Run one command as a program of its own, as the examples do; its errors are raised.

    Parameters
    ----------
    add_options, run : callable
        Of the command.
    arguments : sequence of str, optional
    **defaults
        Of options, where they differ from those of the command.

    Raises
    ------
    SystemExit
        For wrong usage, and with the status of the command if that is not 0.
    """
    parser = argparse.ArgumentParser(description=_sentence(run.__doc__))
    add_options(parser)
    parser.set_defaults(json=False, **defaults)
    options = parser.parse_args(arguments)
    try:
        status = run(options)
    except output.UsageError as error:
        parser.error(str(error))
    if status:
        sys.exit(status)
