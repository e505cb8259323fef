// What is shown, as files: numbers as JSON, pictures as PNG.

import { numbers } from "./arrays.js";

const TITLE = 22; // pixels above each picture

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Save the image, the output, and every array of the layers that the page shows. */
export function saveJson({ model, image, look }) {
  const plain = (array) => array && { shape: array.shape, values: [...numbers(array).values] };
  const layers = look.layers.map(({ name, ...arrays }) => {
    return { name, ...Object.fromEntries(Object.entries(arrays).map(([key, array]) => [key, plain(array)])) };
  });
  const { output, loss, label } = look;
  const whole = { model: model.name, image: plain(image), output, label, loss, layers };
  save("tinycnn.json", new Blob([JSON.stringify(whole)], { type: "application/json" }));
}

/** Save the pictures of the layers, one below the other. */
export function savePng(shown) {
  const whole = document.createElement("canvas");
  whole.width = Math.max(...shown.map(({ canvas }) => canvas.width));
  whole.height = shown.reduce((sum, { canvas }) => sum + canvas.height + TITLE + 4, 0);
  const context = whole.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, whole.width, whole.height);
  context.fillStyle = "#000";
  context.font = "14px sans-serif";
  let top = 0;
  for (const { canvas, layer } of shown) {
    context.fillText(layer.name, 2, top + 16);
    context.drawImage(canvas, 0, top + TITLE);
    top += canvas.height + TITLE + 4;
  }
  whole.toBlob((blob) => save("tinycnn.png", blob), "image/png");
}
