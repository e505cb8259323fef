"""Descriptions of a model: its layers and what they cost, and what its file holds.

::

    MODEL -> load -> summary -> table          FILE -> load, origin, checkpoint -> inspect -> table
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn import saving
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say
from tinycnn.cli.train import SETTINGS
from tinycnn.inspection import plot_network
from tinycnn.inspection.costs import cost_text, costs
from tinycnn.inspection.summary import LINE_LENGTH
from tinycnn.saving import conversion, npz
from tinycnn.saving.origin import origin
from tinycnn.training.checkpoint_files import PREVIOUS


def add_summary_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `summary`."""
    models.add_option(parser)
    parser.add_argument(
        "--cost", action="store_true", help="multiplications, memory, receptive field and measured times"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images in a timed batch (default: 32)")
    parser.add_argument("--svg", metavar="FILE", help="also draw the layers, as a picture for a browser")


def summary(options: argparse.Namespace) -> int:
    """Print the layers of a model with their output shapes and numbers of parameters."""
    if options.batch_size < 1:
        raise UsageError(f"--batch-size: expected a whole number >= 1, received {options.batch_size}")
    model = models.load(options.model)
    if options.svg is not None:
        plot_network(model, options.svg)
        output.note(f"wrote {options.svg}; open it in a browser")
    if options.cost:
        found = costs(model, options.batch_size)
        if options.json:
            output.say_json({"batch_size": options.batch_size, "costs": [cost._asdict() for cost in found]})
        else:
            say(cost_text(found, options.batch_size))
    elif options.json:
        output.say_json({"name": model.name, "input_shape": model.input_shape, **layers_of(model)})
    else:
        columns = output.width(LINE_LENGTH)
        say(output.quietly(lambda: model.summary(line_length=columns)))
    return 0


def add_inspect_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `inspect`."""
    parser.add_argument("file", metavar="FILE", help="a model file, or a folder that --checkpoint made")


def inspect(options: argparse.Namespace) -> int:
    """Print what a model file holds: who wrote it, its layers, how it was compiled and trained."""
    path = models.file_of(options.file)
    try:
        with saving.reading(path, judge=False) as snapshot:  # `facts_of` counts what is not finite
            model = conversion.restore(tinycnn.Sequential, snapshot)
    except ValueError:
        if (path.parent / PREVIOUS).exists() and path.name != PREVIOUS:
            output.note(f"the checkpoint before this one may be whole: {path.parent / PREVIOUS}")
        raise
    facts = facts_of(path, model)
    if options.json:
        output.say_json(facts)
    else:
        say(facts_text(facts))
    return 0


def facts_of(path: Path, model: tinycnn.Sequential) -> dict[str, Any]:
    """Return what a file holds, as data."""
    source = origin(path)
    optimizer, loss = model.optimizer, model.loss
    weights = model.get_weights()
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "format": source.format,
        "writer": source.writer or None,
        "keras_version": source.keras_version or None,
        "backend": source.backend or None,
        "name": model.name,
        "input_shape": model.input_shape,
        "dtype": model.dtype.name,
        "seed": model.seed,
        **layers_of(model),
        "not_finite": int(sum(np.count_nonzero(~np.isfinite(array)) for array in weights)),
        "optimizer": None if optimizer is None else repr(optimizer),
        "slots": [] if optimizer is None else sorted(optimizer.slots),
        "loss": None if loss is None else loss.name,
        "metrics": list(model.metrics),
        "epochs_trained": model.epochs_trained,
        "steps_trained": model.steps_trained,
        "checkpoint": checkpoint_of(path),
    }


def layers_of(model: tinycnn.Sequential) -> dict[str, Any]:
    """Return the layers of a model, and its numbers of parameters."""
    shape = tuple(model.input_shape or ())
    layers: list[dict[str, Any]] = []
    for layer in model:
        count, shape = layer.count_params(shape), layer.compute_output_shape(shape)
        layers.append(
            {
                "name": layer.name,
                "class": type(layer).__name__,
                "output_shape": shape,
                "weights": {name: array.shape for name, array in {**layer.params, **layer.state}.items()},
                "parameters": count,
                "trainable": layer.trainable,
            }
        )
    total = sum(layer["parameters"] for layer in layers)
    trainable = sum(p.size for layer in model if layer.trainable for p in layer.params.values())
    return {"layers": layers, "parameters": total, "trainable_parameters": trainable}


def checkpoint_of(path: Path) -> dict[str, Any] | None:
    """Return position, last figures and options of the run that a checkpoint belongs to; None for a model."""
    if path.suffix.lower() != ".npz":
        return None
    try:
        run, _ = npz.read_extra(path)
        position, history = run["position"], run["history"]["history"]
        found = {"batches": position["batches"], "ended": position["ended"]}
        found["last_epoch"] = {name: values[-1] for name, values in history.items() if values}
        found["callbacks"] = [callback["name"] for callback, _ in run["callbacks"]]
    except (ValueError, KeyError, TypeError, AttributeError):  # a model file without additions
        return None
    try:
        found["options"] = json.loads((path.parent / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found["options"] = None
    return found


def facts_text(facts: dict[str, Any]) -> str:
    """Return the same as text."""
    written_by = facts["writer"] or "unknown"
    if facts["keras_version"]:
        kind = "for" if facts["writer"] == "tinycnn" else "version"
        name = "Keras " if facts["writer"] == "tinycnn" else ""
        written_by += f", {kind} {name}{facts['keras_version']}, backend {facts['backend'] or 'not named'}"
    compiled = "not compiled"
    if facts["optimizer"] is not None:
        metrics = ", ".join(facts["metrics"]) or "no metrics"
        compiled = f"{facts['optimizer']}, {facts['loss']}, {metrics}"
    slots = ", ".join(facts["slots"]) or "none"
    rows: list[tuple[str, object]] = [
        ("File", f"{facts['file']}, {output.size(facts['bytes'])}"),
        ("Format", facts["format"]),
        ("Written by", written_by),
        ("Model", f"{facts['name']}, {facts['dtype']}, seed {facts['seed']}"),
        ("Input", f"{facts['input_shape']} for one image"),
        ("Parameters", f"{facts['parameters']:,}, {facts['trainable_parameters']:,} of them trainable"),
        ("Compiled with", compiled),
        ("Moments", slots),
        ("Trained for", f"{facts['epochs_trained']} epochs, {facts['steps_trained']} steps"),
    ]
    if facts["not_finite"]:
        rows.append(("Damage", f"{facts['not_finite']} weights are NaN or infinite"))
    if facts["checkpoint"]:
        rows += checkpoint_rows(facts["checkpoint"])
    return output.table(rows) + "\n\n" + layers_text(facts["layers"])


def checkpoint_rows(checkpoint: dict[str, Any]) -> list[tuple[str, object]]:
    """Return the rows about a run."""
    state = "ended" if checkpoint["ended"] else f"not ended, {checkpoint['batches']} batches into an epoch"
    rows: list[tuple[str, object]] = [("Run", state)]
    if checkpoint["last_epoch"]:
        figures = (f"{name} {value:.4f}" for name, value in checkpoint["last_epoch"].items())
        rows.append(("Last epoch", "  ".join(figures)))
    if checkpoint["options"]:
        given = (f"{name} {value}" for name, value in checkpoint["options"].items() if value is not None)
        rows.append(("Options", ", ".join(given)))
    return rows


def layers_text(layers: list[dict[str, Any]]) -> str:
    """Return the table of the layers with the shapes of their weights."""
    rows: list[tuple[object, ...]] = [("Layer", "Class", "Output", "Parameters", "Weights")]
    for layer in layers:
        weights = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in layer["weights"].items())
        count = f"{layer['parameters']:,}" + ("" if layer["trainable"] else " (not trainable)")
        rows.append((layer["name"], layer["class"], layer["output_shape"], count, weights))
    return output.table(rows)
