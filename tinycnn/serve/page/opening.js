// Image files of the reader, by button or dropped, and examples: how they come into the drawing area.

import { element, numbers, paint, pixel } from "./arrays.js";
import { latest } from "./latest.js";

const MOST_BYTES = 7_000_000; // the server takes 8 MB
const SENT = 2000; // pixels: the longer side of a picture that was too large

/** Return [bitmap, blob]: the picture to be shown, and the file to be sent; throw a sentence for other files. */
async function opened(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name}: expected an image that this browser can read, such as .png or .jpg`);
  }
  if (file.size <= MOST_BYTES) return [bitmap, file];
  const scale = Math.min(1, SENT / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return [bitmap, await new Promise((done) => canvas.toBlob(done, "image/webp", 0.95))];
}

/** Make the buttons of the drawing area work; `read(blob)` is called for a file, `example` gives an example. */
export function bindInput(drawing, example, read) {
  const [clear, undo, another, chooser, problem] = ["clear", "undo", "example", "file", "problem"].map((id) =>
    document.getElementById(id),
  );
  const open = async (file) => {
    if (!file) return;
    try {
      const [bitmap, blob] = await opened(file);
      drawing.show(bitmap);
      read(blob);
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  clear.addEventListener("click", () => drawing.clear());
  undo.addEventListener("click", () => drawing.undo());
  let number = 0;
  const showExample = latest(async () => {
    const array = numbers((await example({ number: number++ })).image);
    const canvas = element("canvas");
    paint(canvas, array.shape[0], array.shape[1], (i, j) => pixel(array, i, j));
    drawing.show(canvas);
    drawing.changed();
  });
  another.hidden = !example;
  another.addEventListener("click", () => showExample());
  const chosenFile = () => {
    open(chooser.files[0]);
    chooser.value = ""; // the same file may be opened again
  };
  chooser.addEventListener("change", chosenFile);
  if (chooser.files.length) chosenFile();
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}
