"""The benchmarks from the command line: ``python -m nengo_dl.benchmarks build ... profile ...``."""

import argparse
import ast
import inspect
import sys
from typing import Any

import nengo

from . import BENCHMARKS, run_profile


def _value(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line; the value is a Python literal or else a text."""
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"expected key=value, got {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def _build(options: argparse.Namespace, net: Any) -> nengo.Network:
    """The command ``build``."""
    function = BENCHMARKS[options.benchmark]
    taken = inspect.signature(function).parameters
    given = {
        name: getattr(options, name) for name in ("dimensions", "neurons_per_d") if name in taken
    }
    if "neuron_type" in taken:
        given["neuron_type"] = getattr(nengo, options.neuron_type)()
    return function(**{**given, **dict(options.kwarg)})


def _profile(options: argparse.Namespace, net: Any) -> Any:
    """The command ``profile``."""
    if net is None:
        raise ValueError("profile expected a network from the command build, got none before it")
    run_profile(
        net,
        train=options.train,
        n_steps=options.n_steps,
        do_profile=not options.time_only,
        minibatch_size=options.batch_size,
        device=options.device,
        unroll_simulation=options.unroll,
    )
    return net


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m nengo_dl.benchmarks",
        description="Commands are written in a row: build ... profile ...",
    )
    commands = parser.add_subparsers(metavar="build | profile", required=True)
    build = commands.add_parser("build", help="make one of the networks")
    build.set_defaults(run=_build)
    build.add_argument("--benchmark", choices=BENCHMARKS, required=True)
    build.add_argument("--dimensions", type=int, default=128)
    build.add_argument("--neurons_per_d", type=int, default=64)
    build.add_argument("--neuron_type", default="RectifiedLinear", help="a class of nengo")
    build.add_argument(
        "--kwarg", type=_value, action="append", default=[], help="key=value, any other argument"
    )
    profile = commands.add_parser("profile", help="time it (after build)")
    profile.set_defaults(run=_profile)
    profile.add_argument("--train", action=argparse.BooleanOptionalAction, default=False)
    profile.add_argument("--n_steps", type=int, default=150)
    profile.add_argument("--batch_size", type=int, default=1)
    profile.add_argument("--device", help="a device of TensorFlow, by default it chooses one")
    profile.add_argument("--unroll", type=int, default=25)
    profile.add_argument("--time-only", action="store_true", help="without TensorFlow's profiler")
    return parser


def main(words: list[str] | None = None) -> None:
    """Run the commands of a command line, one after the other.

    Parameters
    ----------
    words : list of str, optional
        The command line's words, by default those of this process.
    """
    words = sys.argv[1:] if words is None else words
    starts = [i for i, word in enumerate(words) if i == 0 or word in ("build", "profile")]
    net = None
    for start, end in zip(starts or [0], [*starts[1:], len(words)], strict=True):
        options = _parser().parse_args(words[start:end])
        net = options.run(options, net)


if __name__ == "__main__":
    main()
