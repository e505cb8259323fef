// A source of numbers without a server: the arrays that the library wrote into the page, for one picture.
//
//   gzip, base64 -> JSON -> steps with y, weights, and dy of each label -> the answers that the server would give
//
// Nothing here computes a layer: values are looked up, and the positions that belong to one follow from the
// geometry, as in `tinycnn/inspection/terms.py`.

import { bytes, numbers } from "./arrays.js";

/** Return the source for a text in base64. */
export async function fileSource(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  const steps = data.steps.map(unpacked);
  for (const [i, step] of steps.entries()) step.x = i ? steps[i - 1].y : numbers(data.image);
  const gradients = data.gradients.map(({ dy, image }) => ({ dy: dy.map(numbers), image: numbers(image) }));
  const at = (label) => (label === null || label === undefined ? -1 : data.labels.indexOf(label));
  const missing = () => Promise.reject(new Error(data.missing));

  return {
    live: false,
    prepared: data.prepare,
    adds: (layer) => layer === steps[steps.length - 1].name, // the contributions to others are not here
    model: async () => data.model,
    picture: async () => data.picture,
    bitmap: () => createImageBitmap(new Blob([bytes(data.source)], { type: "image/png" })),
    predict: async () => ({ output: data.other }),
    weights: async () => ({ layers: data.model.layers.map(({ name }) => ({ name, kernel: kernelOf(steps, name) })) }),
    look: async ({ label }) => {
      if (label !== null && at(label) < 0) return missing();
      return looked(data, steps, gradients[at(label)], label, at(label));
    },
    terms: async ({ layer, index, part, label }) => {
      const own = steps.filter(({ name }) => name === layer);
      if (part !== "gradient") {
        const step = part === "sums" ? own[0] : own[own.length - 1];
        return { ...forwardTerms(step, index), region: region(steps, step, index) };
      }
      if (at(label) < 0) return missing();
      const number = steps.indexOf(own[0]);
      const { dy, image } = gradients[at(label)];
      return backwardTerms(own[0], index, dy[number], number ? dy[number - 1] : image);
    },
    pixels: async ({ kind, label, layer, index }) => {
      const last = steps[steps.length - 1];
      const found =
        kind === "contributions" ? layer === last.name && data.contributions[index[0]] : data[kind][at(label)];
      return found || missing();
    },
  };
}

function unpacked(step) {
  const arrays = {};
  for (const key of ["y", "kernel", "bias", "slopes"]) if (step[key]) arrays[key] = numbers(step[key]);
  return { ...step, ...arrays };
}

function kernelOf(steps, name) {
  return steps.find((step) => step.name === name && step.kernel)?.kernel ?? null;
}

/** Return what `views.look` does. */
function looked(data, steps, gradient, label, number) {
  const layers = [];
  for (const [i, step] of steps.entries()) {
    if (layers[layers.length - 1]?.name !== step.name) layers.push({ name: step.name, sums: step.y });
    const layer = layers[layers.length - 1];
    layer.output = step.y;
    layer.output_gradient = gradient ? gradient.dy[i] : null;
  }
  return {
    layers,
    output: [...steps[steps.length - 1].y.values],
    label,
    loss: gradient ? data.losses[number] : null,
    image_gradient: gradient ? gradient.image : null,
  };
}

// Indices: [i, j, c] of a map, [i] of a vector.

function offset(shape, index) {
  return index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
}

function unravelled(shape, number) {
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(number % size);
    number = Math.floor(number / size);
  }
  return index;
}

function inside(index, shape) {
  return index.every((i, axis) => i >= 0 && i < shape[axis]);
}

function all(shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  return Array.from({ length: count }, (_, number) => unravelled(shape, number));
}

/** Return the positions that one output of a convolution or a pool reads, also those in the padding. */
function windowOf(step, [row, column, channel]) {
  const { size, strides, pads, dilation } = step.geometry;
  const channels = step.kernel ? [...Array(step.x.shape[2]).keys()] : [channel];
  const found = [];
  for (let i = 0; i < size[0]; i++) {
    for (let j = 0; j < size[1]; j++) {
      const place = [row * strides[0] - pads[0] + i * dilation[0], column * strides[1] - pads[1] + j * dilation[1]];
      for (const c of channels) found.push([...place, c]);
    }
  }
  return found;
}

/** Return the outputs that read one position of the input of a convolution or a pool. */
function outputsOf(step, position) {
  const { size, strides, pads, dilation } = step.geometry;
  const along = [0, 1].map((axis) => {
    const starts = [...Array(size[axis]).keys()].map((tap) => position[axis] + pads[axis] - tap * dilation[axis]);
    return starts.filter((start) => start % strides[axis] === 0).map((start) => start / strides[axis]);
  });
  const channels = step.kernel ? [...Array(step.y.shape[2]).keys()] : [position[2]];
  const outputs = along[0].flatMap((i) => along[1].flatMap((j) => channels.map((c) => [i, j, c])));
  return outputs.filter((output) => inside(output, step.y.shape));
}

/** Return the derivative of one output of a step by one of its inputs. */
function weight(step, output, position) {
  const { x, kernel, geometry, slopes } = step;
  if (kernel && geometry) {
    const { strides, pads, dilation } = geometry;
    const tap = [0, 1].map((axis) => (position[axis] + pads[axis] - output[axis] * strides[axis]) / dilation[axis]);
    return kernel.values[offset(kernel.shape, [...tap, position[2], output[2]])];
  }
  if (kernel) return kernel.values[offset(kernel.shape, [position[0], output[0]])];
  if (step.taps) return step.taps.reduce((product, taps, i) => product * weightOf(taps[output[i]], position[i]), 1);
  if (step.operation === "maximum" || (step.operation === "mean" && geometry)) {
    const places = inputs(step, output).filter((place) => inside(place, x.shape));
    if (step.operation === "mean") return Math.fround(1 / places.length);
    const value = (place) => x.values[offset(x.shape, place)];
    const first = places.reduce((best, place) => (value(place) > value(best) ? place : best));
    return first.every((i, axis) => i === position[axis]) ? 1 : 0;
  }
  if (step.operation === "mean") return Math.fround(1 / (x.shape[0] * x.shape[1]));
  if (slopes) return slopes.values[offset(slopes.shape, hasAxis(step) ? [...output, position[step.axis]] : output)];
  return 1;
}

/** Return the weight of an element of the input among the taps of an output, as [element, weight] each. */
function weightOf(taps, element) {
  return taps.find(([other]) => other === element)[1];
}

/** Return whether a step is a softmax along an axis. */
function hasAxis(step) {
  return Number.isInteger(step.axis);
}

/** Return whether a step is a pool of the whole image. */
function isGlobal({ operation, geometry }) {
  return !geometry && (operation === "mean" || operation === "maximum");
}

/** Return the positions along an axis. */
function along(shape, index, axis) {
  return [...Array(shape[axis]).keys()].map((i) => [...index.slice(0, axis), i, ...index.slice(axis + 1)]);
}

/** Return the inputs that one output of a step is made of. */
function inputs(step, index) {
  const { x, y, taps } = step;
  if (hasAxis(step)) return along(x.shape, index, step.axis);
  if (step.geometry) return windowOf(step, index);
  if (step.kernel) return all(x.shape);
  if (taps) return taps[0][index[0]].flatMap(([i]) => taps[1][index[1]].map(([j]) => [i, j, index[2]]));
  if (isGlobal(step)) return all(x.shape).filter((place) => place[2] === index[0]);
  return [unravelled(x.shape, offset(y.shape, index))];
}

/** Return the outputs that one input of a step is part of. */
function outputs(step, index) {
  const { x, y, taps } = step;
  if (hasAxis(step)) return along(y.shape, index, step.axis);
  if (step.geometry) return outputsOf(step, index);
  if (step.kernel) return all(y.shape);
  if (taps) {
    const [rows, columns] = taps.map((outputs, axis) =>
      [...outputs.keys()].filter((output) => outputs[output].some(([element]) => element === index[axis])),
    );
    return rows.flatMap((i) => columns.map((j) => [i, j, index[2]]));
  }
  if (isGlobal(step)) return [[index[2]]];
  return [unravelled(y.shape, offset(x.shape, index))];
}

function array(values) {
  return { shape: [values.length], values: Float32Array.from(values) };
}

/** Return what `forward_terms` does. */
export function forwardTerms(step, index) {
  const { x, y } = step;
  const positions = inputs(step, index);
  const factors = positions.map((place) => (inside(place, x.shape) ? x.values[offset(x.shape, place)] : 0));
  const weights = positions.map((place) => weight(step, index, place));
  const value = y.values[offset(y.shape, index)];
  let bias = step.bias ? step.bias.values[index[index.length - 1]] : 0;
  if (step.operation === "normalisation") bias = value - factors[0] * weights[0];
  return found(step, positions, factors, weights, bias, value);
}

/** Return what `backward_terms` does, for the gradients of a step's output and input. */
export function backwardTerms(step, index, dy, dx) {
  const positions = outputs(step, index);
  const factors = positions.map((place) => dy.values[offset(dy.shape, place)]);
  const weights = positions.map((place) => weight(step, place, index));
  return found(step, positions, factors, weights, 0, dx.values[offset(dx.shape, index)]);
}

function found({ operation }, positions, factors, weights, bias, value) {
  const others = { count: 0, sum: 0 };
  return { operation, positions, factors: array(factors), weights: array(weights), bias, value, others };
}

/** Return the pixels that an output depends on, as `receptive_region` does. */
function region(steps, step, index) {
  const whole = steps[0].x.shape.slice(0, 2).map((size) => [0, size - 1]);
  let spans = [0, 1].map((axis) => [index[axis], index[axis]]);
  for (let i = steps.indexOf(step); i >= 0; i--) {
    const { x, y } = steps[i];
    const kept = steps[i].geometry || steps[i].taps || isGlobal(steps[i]) || x.shape.join() === y.shape.join();
    if (x.shape.length !== 3 || !kept) return whole;
    spans = spans.map((span, axis) => reads(steps[i], span, axis));
    if (spans.some(([first, last]) => first > last)) return null;
  }
  return spans;
}

/** Return the first and the last row or column that those of an output depend on; see `inspection/fields.py`. */
function reads(step, [first, last], axis) {
  const { geometry, taps } = step;
  const end = step.x.shape[axis] - 1;
  if (isGlobal(step) || step.axis === axis) return [0, end];
  if (taps) {
    const elements = [...taps[axis][first], ...taps[axis][last]].map(([element]) => element);
    return [Math.min(...elements), Math.max(...elements)];
  }
  if (!geometry) return [first, last];
  const { size, strides, pads, dilation } = geometry;
  const reach = (size[axis] - 1) * dilation[axis];
  return [
    Math.max(first * strides[axis] - pads[axis], 0),
    Math.min(last * strides[axis] - pads[axis] + reach, end),
  ];
}
