// One number taken apart: window, weights, products, sum; what the activation makes of it; the chain rule.

import { colour, element, numbers, paint, pixel, reach, short } from "./arrays.js";

const CHANNELS = 12; // that are drawn, those with the largest sums
const LINES = 24; // of the table
const SEEN = 112; // pixels: side of the pictures of what a value depends on

/** Return the terms as objects, the largest product first. */
function sorted(terms) {
  const factors = numbers(terms.factors).values;
  const weights = numbers(terms.weights).values;
  return terms.positions
    .map((position, i) => ({ position, factor: factors[i], weight: weights[i], product: factors[i] * weights[i] }))
    .sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
}

/** Return a figure of one window: factors, weights or products of one channel. */
function figure(title, rows, columns, cells, key, most) {
  const made = element("figure");
  const canvas = element("canvas");
  const at = (i, j) => colour((cells.get(`${i},${j}`)?.[key] ?? 0) / most);
  paint(canvas, rows, columns, at, Math.max(6, Math.round(48 / Math.max(rows, columns))));
  canvas.title = [...cells.values()].map((cell) => short(cell[key])).join("  ");
  made.append(canvas, element("figcaption", title));
  return made;
}

/** Return pictures of the windows, a row of three for each of the most important channels. */
function windows(list, words) {
  const byChannel = new Map();
  for (const term of list) {
    const channel = term.position[2];
    if (!byChannel.has(channel)) byChannel.set(channel, []);
    byChannel.get(channel).push(term);
  }
  const sums = [...byChannel].map(([channel, terms]) => {
    return { channel, terms, sum: terms.reduce((sum, term) => sum + term.product, 0) };
  });
  sums.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const most = {};
  for (const key of ["factor", "weight", "product"]) most[key] = reach(list.map((term) => term[key]));
  const made = element("div");
  for (const { channel, terms, sum } of sums.slice(0, CHANNELS)) {
    const [i, j] = [0, 1].map((axis) => [...new Set(terms.map((t) => t.position[axis]))].sort((a, b) => a - b));
    const cells = new Map(terms.map((t) => [`${i.indexOf(t.position[0])},${j.indexOf(t.position[1])}`, t]));
    const row = element("div");
    row.className = "terms";
    const keys = ["factor", "weight", "product"];
    row.append(...keys.map((key) => figure(words[key], i.length, j.length, cells, key, most[key])));
    row.append(element("p", `channel ${channel}: ${short(sum)}`));
    made.append(row);
  }
  if (sums.length > CHANNELS) made.append(element("p", `and ${sums.length - CHANNELS} more channels`));
  return made;
}

/** Return a table of the largest terms. */
function table(list, others, words) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  for (const title of ["position", words.factor, words.weight, words.product]) head.append(element("th", title));
  const body = made.createTBody();
  for (const term of list.slice(0, LINES)) {
    const row = body.insertRow();
    const cells = [term.position.join(", "), short(term.factor), short(term.weight), short(term.product)];
    row.append(...cells.map((cell) => element("td", cell)));
  }
  const left = list.slice(LINES);
  const count = left.length + others.count;
  if (count) {
    const sum = left.reduce((total, term) => total + term.product, others.sum);
    const row = body.insertRow();
    row.append(...[`${count} others`, "", "", short(sum)].map((cell) => element("td", cell)));
  }
  const scroll = element("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.append(made);
  return scroll;
}

const WORDS = { factor: "input", weight: "weight", product: "product" };
const BACK = { factor: "gradient of an output", weight: "weight", product: "product" };

/** Show how an output came about: its sum, and what the activation made of it. */
export function showForward(place, layer, index, terms, after) {
  const list = sorted(terms);
  const sum = list.reduce((total, term) => total + term.product, terms.others.sum);
  const count = list.length + terms.others.count;
  const lines = [];
  if (terms.operation === "sum") {
    lines.push(`${count} products add up to ${short(sum)}; with the bias ${short(terms.bias)}: ${short(terms.value)}`);
  } else if (terms.operation === "maximum") {
    lines.push(`The maximum of ${count} inputs is ${short(terms.value)}.`);
  } else {
    lines.push(`${terms.operation}: ${short(terms.value)}`);
  }
  if (after && after.operation !== terms.operation) {
    lines.push(`${after.operation} of ${short(terms.value)} is ${short(after.value)}`);
  }
  const sides = element("div");
  sides.className = "sides";
  if (terms.positions[0]?.length === 3) sides.append(windows(list, WORDS));
  sides.append(table(list, terms.others, WORDS));
  place.replaceChildren(
    element("p", `${layer.name}, output ${index.join(", ")}`),
    ...lines.map((line) => element("p", line)),
    sides,
  );
}

/** Show the chain rule at one input of a layer: what the outputs that read it send back. */
export function showBackward(place, layer, index, terms) {
  const list = sorted(terms);
  const count = list.length + terms.others.count;
  place.replaceChildren(
    element("p", `${layer.name}, input ${index.join(", ")}: the gradient of the loss is ${short(terms.value)}`),
    element("p", `It is the sum over the outputs that read this input, ${count} in number: gradient times weight.`),
    table(list, terms.others, BACK),
  );
}

/** Show the image with a frame around the pixels that a value depends on, and what each pixel adds to it. */
export function showSeen(place, image, region, added) {
  const [height, width] = image.shape;
  const scale = Math.max(1, Math.round(SEEN / Math.max(height, width)));
  const row = element("div", "", "terms");
  const picture = (title, at) => {
    const made = element("figure");
    const canvas = element("canvas");
    paint(canvas, height, width, at, scale);
    made.append(canvas, element("figcaption", title));
    row.append(made);
    return canvas.getContext("2d");
  };
  const context = picture("pixels that it sees", (i, j) => pixel(image, i, j));
  if (region) {
    const [[top, bottom], [left, right]] = region;
    context.strokeStyle = "#f0a000";
    context.lineWidth = 2;
    context.strokeRect(left * scale, top * scale, (right - left + 1) * scale, (bottom - top + 1) * scale);
  }
  if (added) {
    const most = reach(added.values);
    picture("what each adds to it", (i, j) => colour(added.values[i * width + j] / most));
  }
  place.append(row);
}
