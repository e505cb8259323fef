"""Time of augmentation compared with a training step, measured in turn.

::

    batch -> a step;  batch -> variants, with the settings of each recipe -> milliseconds, share of the step
"""

import arguments
import machine
import numba
import numpy as np
from networks import MNIST, images_and_labels, resized_mnist_cnn
from reporting import Column, Table, time_columns, write_json
from timing import interleaved, summary

from tinycnn.datasets import Augmentation
from tinycnn.recipes import RECIPES

COLUMNS = [Column("what", 34), *time_columns(9), Column("of a step", 10, ".1%")]
ALL_KINDS = {"elastic": 1.0, "erasing": 1.0}  # for every image, on top of the recipe `best`


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments.parser("Time augmentation, compared with a training step of mnist_cnn.")
    parser.add_argument("--batch-size", type=arguments.whole, default=128, help="images in a batch")
    parser.add_argument(
        "--json", type=arguments.new_file, default="augmentation.json", help="file of the figures"
    )
    options = parser.parse_args(argv)
    numba.set_num_threads(options.threads)
    described = machine.describe(options.threads, [])
    print(machine.one_line(described))
    x, y = images_and_labels(options.batch_size)
    samples = np.arange(len(x))
    model = resized_mnist_cnn(MNIST)
    model.compile("adam", "sparse_categorical_crossentropy")
    kinds = {name: recipe.augmentation for name, recipe in RECIPES.items() if recipe.augmentation}
    kinds["best, all bent and erased"] = {**RECIPES["best"].augmentation, **ALL_KINDS}
    variants = [Augmentation(**settings) for settings in kinds.values()]
    functions = [
        lambda: model.train_on_batch(x, y),
        *(lambda augment=augment: augment(x, 0, 0, samples) for augment in variants),
    ]
    seconds = interleaved(functions, options.rounds)
    table = Table(f"Augmentation of {len(x)} images", COLUMNS)
    table.start()
    for what, times in zip(["a training step", *kinds], seconds, strict=True):
        share = {"of a step": float(np.median(times) / np.median(seconds[0]))} if what in kinds else {}
        table.add({"what": what} | summary(times) | share)
    table.finish()
    write_json(options.json, "augmentation", argv, described, [table])


if __name__ == "__main__":
    main()
