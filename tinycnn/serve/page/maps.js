// The maps of a layer, side by side on one canvas, of which one value can be chosen; or its weights.

import { colour, element, numbers, paint, reach, short } from "./arrays.js";

const CELL = 5; // pixels of a value of a vector
const NARROWEST = 280; // pixels of a row of maps, on a telephone
const LARGEST = 16; // pixels of a weight
const GAP_COLOUR = [190, 190, 190];
const MANY = 64; // maps, above which they are drawn smaller

/** Return the pixels that a row of maps has on this screen. */
function widest() {
  return Math.max(NARROWEST, document.getElementById("layers").clientWidth - 4);
}

/** A row of the page: the maps of one layer. `choose(index)` is called for a value of the layer's output. */
export class Maps {
  constructor(layer, choose) {
    this.layer = layer;
    this.choose = choose;
    // what passes its input on is folded away
    const folded = ["Dropout", "Flatten", "GaussianNoise"].includes(layer.kind);
    this.element = element(folded ? "details" : "div", "", "layer");
    const text = element(folded ? "summary" : "p");
    const title = element("span", `${layer.name}: ${layer.kind}, ${layer.output_shape.join(" x ")}`);
    if (layer.activation !== "linear") title.textContent += `, ${layer.activation}`;
    if (layer.field) title.textContent += `, sees ${layer.field.join(" x ")} pixels`;
    title.title = layer.code;
    this.range = element("span", "", "range");
    text.append(title, " ", this.range);
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `Maps of ${layer.name}. Arrow keys choose a value, page keys a map.`);
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.describe());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.element.append(text, this.canvas);
    this.index = null;
    this.clear();
  }

  clear() {
    this.array = null;
    this.canvas.width = this.canvas.height = 0;
    this.element.hidden = true;
  }

  /** Show an array of the layer's output, or nothing. */
  show(array) {
    if (!array) {
      this.clear();
      return;
    }
    const { shape, values } = numbers(array);
    const [height, width, count] = shape.length === 3 ? shape : [1, 1, values.length];
    const map = shape.length === 3;
    const side = count > MANY ? 44 : 64; // pixels of a map
    const scale = map ? Math.max(2, Math.round(side / Math.max(height, 8))) : count > 200 ? CELL : 2 * CELL;
    const gap = map ? 1 : 0; // in values, between two maps
    const columns = Math.max(1, Math.min(count, Math.floor(widest() / ((width + gap) * scale))));
    const name = (i, j, k) => (map ? `channel ${k}, row ${i}, column ${j}` : `number ${k}`);
    this.set({ height, width, count, scale, gap, columns, name, values, chosen: true });
  }

  /** Show a kernel: (KH, KW, C, F) as a table of small pictures, a column for each filter; or (inputs, outputs). */
  showKernel(array) {
    if (!array) {
      this.clear();
      return;
    }
    let { shape, values } = numbers(array);
    if (shape.length === 2) {
      // a row for each output
      const [inputs, outputs] = shape;
      const turned = new Float32Array(values.length);
      for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) turned[o * inputs + i] = values[i * outputs + o];
      const scale = Math.max(1, Math.min(LARGEST, Math.floor(widest() / inputs)));
      const name = (output, input) => `to output ${output}, from input ${input}`;
      this.set({ height: outputs, width: inputs, count: 1, scale, gap: 0, columns: 1, name, values: turned });
      return;
    }
    const [height, width, channels, filters] = shape;
    const scale = Math.max(2, Math.min(LARGEST, Math.floor(widest() / (filters * (width + 1)))));
    const name = (i, j, k) => {
      return `filter ${k % filters}, channel ${Math.floor(k / filters)}, row ${i}, column ${j}`;
    };
    this.set({ height, width, count: channels * filters, scale, gap: 1, columns: filters, name, values });
  }

  /** Draw what `show` or `showKernel` laid out. */
  set(layout) {
    this.array = layout;
    this.element.hidden = false;
    let [low, high] = [Infinity, -Infinity];
    for (const value of layout.values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    this.rest = `from ${short(low)} to ${short(high)}`;
    this.draw();
    this.describe();
  }

  draw() {
    if (!this.array) return;
    const { height, width, count, scale, gap, columns, values } = this.array;
    const rows = Math.ceil(count / columns);
    const most = reach(values);
    const at = (row, column) => {
      const [i, j] = [row % (height + gap), column % (width + gap)];
      const map = Math.floor(row / (height + gap)) * columns + Math.floor(column / (width + gap));
      if (map >= count) return null;
      if (i >= height || j >= width) return GAP_COLOUR;
      return colour(values[(i * width + j) * count + map] / most);
    };
    paint(this.canvas, rows * (height + gap), columns * (width + gap), at, scale);
    if (this.index && this.array.chosen) this.frame();
  }

  /** Draw a frame around the chosen value. */
  frame() {
    const { height, width, scale, gap, columns } = this.array;
    const [i, j, map] = this.index;
    const x = ((map % columns) * (width + gap) + j) * scale;
    const y = (Math.floor(map / columns) * (height + gap) + i) * scale;
    const context = this.canvas.getContext("2d");
    context.strokeStyle = "#f0a000";
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, scale + 2, scale + 2);
  }

  /** Say beside the title which value the pointer is at, or the range of all. */
  describe(place) {
    if (!this.array) return;
    const { width, count, values, name } = this.array;
    if (!place) {
      this.range.textContent = this.rest;
      return;
    }
    const [i, j, k] = place;
    this.range.textContent = `${name(i, j, k)}: ${short(values[(i * width + j) * count + k])}`;
  }

  /** Choose the value at row i, column j of a map. */
  select(i, j, map) {
    const { height, width, count, chosen, name } = this.array;
    if (!chosen || i < 0 || i >= height || j < 0 || j >= width || map < 0 || map >= count) return;
    this.index = [i, j, map];
    this.draw();
    this.describe(this.index);
    this.choose(this.layer.output_shape.length === 3 ? [i, j, map] : [map]);
  }

  /** Return the value at an index of the layer's output. */
  at(index) {
    const { width, count, values } = this.array;
    const [i, j, k] = index.length === 3 ? index : [0, 0, index[0]];
    return values[(i * width + j) * count + k];
  }

  unselect() {
    this.index = null;
    this.draw();
  }

  /** Return [row, column, map] below the pointer; on the gap, those of the value beside it. */
  place(event) {
    const { height, width, count, scale, gap, columns } = this.array;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) * this.canvas.width) / box.width / scale);
    const row = Math.floor(((event.clientY - box.top) * this.canvas.height) / box.height / scale);
    const map = Math.floor(row / (height + gap)) * columns + Math.floor(column / (width + gap));
    const [i, j] = [row % (height + gap), column % (width + gap)];
    return map >= 0 && map < count ? [Math.min(i, height - 1), Math.min(j, width - 1), map] : null;
  }

  click(event) {
    const place = this.array && this.place(event);
    if (place) this.select(...place);
  }

  point(event) {
    if (this.array) this.describe(this.place(event));
  }

  key(event) {
    if (!this.array?.chosen) return;
    const [i, j, map] = this.index ?? [0, 0, 0];
    const flat = this.layer.output_shape.length < 3;
    const moves = {
      ArrowUp: [i - 1, j, map],
      ArrowDown: [i + 1, j, map],
      ArrowLeft: flat ? [0, 0, map - 1] : [i, j - 1, map],
      ArrowRight: flat ? [0, 0, map + 1] : [i, j + 1, map],
      PageUp: [i, j, map - 1],
      PageDown: [i, j, map + 1],
      Enter: [i, j, map],
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    this.select(...moves[event.key]);
  }
}
