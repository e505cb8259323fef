// The maps of a layer, side by side on one canvas, of which one value can be chosen.

import { colour, levels, paint, reach } from "./arrays.js";

const CELL = 5; // pixels of a value of a vector
const WIDEST = 1180; // pixels of a row of maps

/** A row of the page: the maps of one layer. `choose(index)` is called for a value of the layer's output. */
export class Maps {
  constructor(layer, choose) {
    this.layer = layer;
    this.choose = choose;
    // what passes its input on is folded away
    const folded = layer.kind === "Dropout" || layer.kind === "Flatten";
    this.element = document.createElement(folded ? "details" : "div");
    this.element.className = "layer";
    const text = document.createElement(folded ? "summary" : "p");
    text.textContent = `${layer.name}: ${layer.kind}, ${layer.output_shape.join(" x ")}`;
    if (layer.activation !== "linear") text.textContent += `, ${layer.activation}`;
    text.title = layer.code;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `Maps of ${layer.name}: arrow keys choose a value`);
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.element.append(text, this.canvas);
    this.index = null;
  }

  /** Show an array of the server, or nothing. */
  show(array) {
    this.array = array && levels(array);
    this.draw();
  }

  layout() {
    const shape = this.array.shape;
    const [height, width, count] = shape.length === 3 ? shape : [1, 1, shape[0]];
    const map = shape.length === 3;
    const scale = map ? Math.max(2, Math.round(64 / Math.max(height, 8))) : count > 200 ? CELL : 2 * CELL;
    const gap = map ? 1 : 0; // in values, between two maps
    const columns = Math.max(1, Math.min(count, Math.floor(WIDEST / ((width + gap) * scale))));
    return { height, width, count, scale, gap, columns, rows: Math.ceil(count / columns) };
  }

  draw() {
    if (!this.array) return;
    const { height, width, count, scale, gap, columns, rows } = this.layout();
    const { values } = this.array;
    const most = reach(values);
    const at = (row, column) => {
      const [i, j] = [row % (height + gap), column % (width + gap)];
      const map = Math.floor(row / (height + gap)) * columns + Math.floor(column / (width + gap));
      if (i >= height || j >= width || map >= count) return [128, 128, 128];
      return colour(values[(i * width + j) * count + map] / most);
    };
    paint(this.canvas, rows * (height + gap), columns * (width + gap), at, scale);
    if (this.index) this.frame();
  }

  /** Draw a frame around the chosen value. */
  frame() {
    const { height, width, scale, gap, columns } = this.layout();
    const [i, j, map] = this.index;
    const x = ((map % columns) * (width + gap) + j) * scale;
    const y = (Math.floor(map / columns) * (height + gap) + i) * scale;
    const context = this.canvas.getContext("2d");
    context.strokeStyle = "#f0a000";
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, scale + 2, scale + 2);
  }

  /** Choose the value at row i, column j of a map. */
  select(i, j, map) {
    const { height, width, count } = this.layout();
    if (i < 0 || i >= height || j < 0 || j >= width || map < 0 || map >= count) return;
    this.index = [i, j, map];
    this.draw();
    this.choose(this.array.shape.length === 3 ? [i, j, map] : [map]);
  }

  unselect() {
    this.index = null;
    this.draw();
  }

  click(event) {
    if (!this.array) return;
    const { height, width, scale, gap, columns } = this.layout();
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) * this.canvas.width) / box.width / scale);
    const row = Math.floor(((event.clientY - box.top) * this.canvas.height) / box.height / scale);
    const map = Math.floor(row / (height + gap)) * columns + Math.floor(column / (width + gap));
    // a click on the gap is meant for the value beside it
    const [i, j] = [row % (height + gap), column % (width + gap)];
    this.select(Math.min(i, height - 1), Math.min(j, width - 1), map);
  }

  key(event) {
    if (!this.array) return;
    const [i, j, map] = this.index ?? [0, 0, 0];
    const flat = this.array.shape.length < 3;
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
