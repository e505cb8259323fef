"""Training of a recipe in PyTorch: the same network, settings, images and steps.

::

    recipe -> PyTorch's layers, AdamW, a warp of each batch, average of the weights -> validation accuracy

This is what a PyTorch user would write for speed on a CPU, eager and in float32: channels_last, one fused
AdamW, the warp of a whole batch by `grid_sample`, the average by one `_foreach_lerp_`. Flips, elastic bending
and erasing are not supported. `recipe.py` runs it in a process of its own.
"""

import argparse
import math

import numpy as np
from arguments import threads, whole
from peers import TorchChannelsLast

from tinycnn import recipes
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.optimizers.schedules import rate
from tinycnn.support.randomness import generator
from tinycnn.training.batches import epoch_order, split


class Training:
    """Training of one network: its data, its optimizer and its steps."""

    def __init__(self, name: str, seed: int, epochs: int | None, limit: int | None, count: int) -> None:
        import torch

        torch.set_num_threads(count)
        torch.manual_seed(seed)
        self.torch, self.recipe = torch, recipes.RECIPES[name]
        if any(self.recipe.augmentation.get(kind) for kind in ("flip", "elastic", "erasing")):
            raise SystemExit(f"--recipe: expected one without flip, elastic and erasing, received {name}")
        self.epochs, self.size = epochs or self.recipe.epochs, self.recipe.batch_size
        (x, y), _ = load_mnist()
        rows, kept = split(y, 5000 / len(y), 0)
        rows = rows if limit is None else generator(seed, "limit").permutation(rows)[:limit]
        self.x, self.y = self._tensors(x[rows], y[rows])
        self.x_kept, self.y_kept = self._tensors(x[kept], y[kept])
        self.model = TorchChannelsLast(recipes.network(self.recipe, seed), count).model
        self.steps_per_epoch = math.ceil(len(rows) / self.size)
        self.steps = self.epochs * self.steps_per_epoch
        self.rate = recipes.optimizer(self.recipe, self.steps).learning_rate
        augmentation = recipes.augmentation(self.recipe, self.steps, self.steps_per_epoch)
        self.strength = 0.0 if augmentation is None else augmentation.strength
        kernels = [p for p in self.model.parameters() if p.ndim > 1]
        biases = [p for p in self.model.parameters() if p.ndim == 1]
        groups = [
            {"params": kernels, "weight_decay": self.recipe.weight_decay},
            {"params": biases, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, self.recipe.beta_2), eps=1e-7, fused=True)
        self.weights = list(self.model.parameters())
        self.averages = [p.detach().clone() for p in self.weights]
        self.loss = torch.nn.CrossEntropyLoss()

    def _tensors(self, x: np.ndarray, y: np.ndarray) -> tuple:
        images = self.torch.from_numpy(scale_images(x)).permute(0, 3, 1, 2).contiguous()
        return images, self.torch.from_numpy(y.astype(np.int64))

    def warp(self, images, strength: float):
        """Rotate, shear, zoom and shift each image of a batch, in one bilinear sampling."""
        torch, settings, N, size = self.torch, self.recipe.augmentation, len(images), images.shape[-1]
        sides = strength * (2 * torch.rand(4, N) - 1)
        angle, slant = (
            math.radians(settings.get("rotation", 0)) * sides[0],
            settings.get("shear", 0) * sides[1],
        )
        low, high = settings.get("zoom", (1, 1))
        zoom = 1 + strength * (low + (high - low) * torch.rand(N) - 1)
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        shift = 2 * settings.get("shift", 0) / size * sides[2:4]
        rows = [cos, sin - cos * slant, shift[0], -sin, cos + sin * slant, shift[1]]
        theta = torch.stack(rows, 1).view(N, 2, 3)
        grid = torch.nn.functional.affine_grid(theta, images.shape, align_corners=False)
        return torch.nn.functional.grid_sample(images, grid, align_corners=False)

    def step(self, number: int, rows) -> None:
        """Take one step."""
        torch, images = self.torch, self.x[rows]
        strength = rate(self.strength, number)
        if strength:
            images = self.warp(images, strength)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.rate, number)
        self.optimizer.zero_grad()
        images = images.contiguous(memory_format=torch.channels_last)
        self.loss(self.model(images), self.y[rows]).backward()
        self.optimizer.step()
        if self.recipe.average is not None:
            share = 1 - min(self.recipe.average, (1 + number) / (10 + number))
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.weights, share)

    def run(self, seed: int) -> None:
        """Train; print the validation accuracy of each epoch."""
        for epoch in range(self.epochs):
            order = self.torch.from_numpy(epoch_order(seed, epoch, len(self.x)))
            self.model.train()
            for index, samples in enumerate(order.split(self.size)):
                self.step(epoch * self.steps_per_epoch + index, samples)
            print(f"Epoch {epoch + 1}/{self.epochs}  val_accuracy {self.evaluate():.4f}", flush=True)

    def evaluate(self) -> float:
        """Return the accuracy on the validation images, with averaged weights if the recipe has them."""
        torch = self.torch
        self.model.eval()
        with torch.no_grad():
            kept = [p.clone() for p in self.weights]
            if self.recipe.average is not None:
                torch._foreach_copy_(self.weights, self.averages)
            right = sum(
                int((self.model(x).argmax(1) == y).sum())
                for x, y in zip(self.x_kept.split(self.size), self.y_kept.split(self.size), strict=True)
            )
            torch._foreach_copy_(self.weights, kept)
        return right / len(self.y_kept)


def main(arguments: list[str] | None = None) -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description="Train a recipe in PyTorch.")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=whole)
    parser.add_argument("--limit", type=whole)
    parser.add_argument("--threads", type=threads, default=threads("1"))
    options = parser.parse_args(arguments)
    training = Training(options.recipe, options.seed, options.epochs, options.limit, options.threads)
    training.run(options.seed)
    if training.recipe.average is not None:
        training.torch._foreach_copy_([p.data for p in training.weights], training.averages)
    training.torch.save(training.model.state_dict(), "mnist_cnn.pt")


if __name__ == "__main__":
    main()
