// The drawing area: strokes of mouse, finger, pen and keys, white on black as MNIST's digits are.

const STEP = 8; // pixels that an arrow key moves the pen
const MOST_UNDONE = 50; // strokes

export class Drawing {
  /** Draw on a canvas; `changed` is called while and after something is drawn. */
  constructor(canvas, pen, changed) {
    this.canvas = canvas;
    this.pen = pen;
    this.changed = changed;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.last = null;
    this.pointer = null; // of the stroke: a second finger draws nothing
    this.down = false; // whether the arrow keys draw
    this.cursor = { x: canvas.width / 2, y: canvas.height / 2 };
    canvas.addEventListener("pointerdown", (event) => this.start(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.end(event));
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.past = [];
    this.fill();
    this.mark();
  }

  fill() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
  }

  /** Keep the area as it is, for `undo`. */
  keep() {
    const { width, height } = this.canvas;
    this.past.push({ pixels: this.context.getImageData(0, 0, width, height), empty: this.empty });
    if (this.past.length > MOST_UNDONE) this.past.shift();
  }

  clear() {
    if (!this.empty) this.keep();
    this.fill();
    this.changed();
  }

  /** Take the last stroke back, or the last picture, or the last `clear`. */
  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.context.putImageData(before.pixels, 0, 0);
    this.empty = before.empty;
    this.changed();
  }

  /** Show a picture, such as a dropped file, fitted into the area. */
  show(picture) {
    this.keep();
    this.fill();
    const { width, height } = this.canvas;
    const scale = Math.min(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    this.context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    this.empty = false;
  }

  /** Return the drawing as a file. */
  blob() {
    return new Promise((done) => this.canvas.toBlob(done, "image/png"));
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  start(event) {
    if (event.button !== 0 || this.last) return;
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.keep();
    this.last = this.place(event);
    this.line(this.last, this.last);
    event.preventDefault();
    this.canvas.focus();
  }

  move(event) {
    if (!this.last || event.pointerId !== this.pointer) return;
    // a fast hand makes several points between two frames
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const next = this.place(each);
      this.line(this.last, next);
      this.last = next;
    }
  }

  end(event) {
    if (event.pointerId === this.pointer) this.last = this.pointer = null;
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else if (event.key === " ") {
      this.down = !this.down;
      if (this.down) {
        this.keep();
        this.line(this.cursor, this.cursor);
      }
    } else if (moves[event.key]) {
      const [dx, dy] = moves[event.key];
      const inside = (value) => Math.min(Math.max(value, 0), this.canvas.width);
      const next = { x: inside(this.cursor.x + STEP * dx), y: inside(this.cursor.y + STEP * dy) };
      if (this.down) this.line(this.cursor, next);
      this.cursor = next;
    } else {
      return;
    }
    event.preventDefault();
    this.mark();
  }

  /** Show where the arrow keys' pen is, and whether it is down. */
  mark() {
    const place = this.canvas.nextElementSibling;
    place.style.left = `${(100 * this.cursor.x) / this.canvas.width}%`;
    place.style.top = `${(100 * this.cursor.y) / this.canvas.height}%`;
    place.classList.toggle("down", this.down);
  }

  line(from, to) {
    const context = this.context;
    context.strokeStyle = "#fff";
    context.lineWidth = Number(this.pen.value);
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    this.empty = false;
    this.changed();
  }
}
