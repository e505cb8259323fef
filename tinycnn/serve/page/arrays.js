// Arrays of the library: base64 to numbers, and numbers to colours and text.

/** Return the bytes of a text in base64. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Return {shape, values} with float32 numbers, for what `views.encoded` made. */
export function floats({ shape, data }) {
  return { shape, values: new Float32Array(bytes(data).buffer) };
}

/** Return {shape, values} for what `views.as_bytes` made, 256 levels from low to high, or `views.encoded`. */
export function numbers(array) {
  if (array.values) return array;
  if (array.low === undefined) return floats(array);
  const { shape, low, high, data } = array;
  const values = Float32Array.from(bytes(data), (level) => low + (level * (high - low)) / 255);
  return { shape, values };
}

/** Return an array in the form that the server takes. */
export function encoded({ shape, values }) {
  const raw = new Uint8Array(Float32Array.from(values).buffer);
  let text = "";
  for (const byte of raw) text += String.fromCharCode(byte);
  return { shape, data: btoa(text) };
}

/** Return the largest absolute value, or 1 if all are 0. */
export function reach(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

/** Return [red, green, blue] for a share from -1 to 1: white is 0, red above it, blue below it. */
export function colour(share) {
  const end = share >= 0 ? [178, 24, 43] : [33, 102, 172];
  const weight = Math.min(Math.abs(share), 1) ** 0.8; // small values stay visible
  return end.map((channel) => Math.round(255 + weight * (channel - 255)));
}

/** Return [red, green, blue] of pixel (i, j) of an image with one channel or three, from 0 to 1. */
export function pixel({ shape, values }, i, j) {
  const depth = shape[2] ?? 1;
  const first = (i * shape[1] + j) * depth;
  const level = (value) => Math.round(255 * Math.min(Math.max(value, 0), 1));
  const channels = [...values.slice(first, first + depth)].map(level);
  return depth === 3 ? channels : [channels[0], channels[0], channels[0]];
}

/** Paint height x width values on a canvas, each as `scale` pixels; `at(row, column)` gives [r, g, b] or null. */
export function paint(canvas, height, width, at, scale = 1) {
  const image = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const painted = at(row, column);
      if (painted) image.data.set([...painted, 255], 4 * (row * width + column));
    }
  }
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  small.getContext("2d").putImageData(image, 0, 0);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Return a number as text of about four digits. */
export function short(number) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  return size >= 1e-3 && size < 1e5 ? number.toPrecision(4).replace(/\.?0+$/, "") : number.toExponential(2);
}

/** Write a text where it is new: a screen reader says again what is written again. */
export function say(id, text) {
  const place = document.getElementById(id);
  if (place.textContent !== text) place.textContent = text;
}

/** Return a share as text, such as 99.3 %. */
export function percent(share, places = 1) {
  return `${(100 * share).toFixed(places)} %`;
}

/** Return a new element with a text. */
export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}
