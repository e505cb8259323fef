// The page: what is drawn, chosen and shown, and when the source is asked.

import { colour, element, encoded, numbers, paint, pixel, reach, short } from "./arrays.js";
import { showBackward, showForward, showSeen } from "./detail.js";
import { Drawing } from "./drawing.js";
import { makeFilm, showConfusion } from "./film.js";
import { Maps } from "./maps.js";
import { isLogarithm, largest, lossText, makeClasses, showClasses, showSteps, verdict } from "./output.js";
import { saveJson, savePng } from "./saving.js";
import { findSource } from "./source.js";

const OVERLAY = 196; // pixels: side of the map of pixels
const $ = (id) => document.getElementById(id);
// `label` is the class that loss and gradients are of: the prediction, until `isChosen` by the reader
const state = {
  model: null,
  pictures: null,
  image: null,
  label: null,
  isChosen: false,
  look: null,
  place: null,
  frame: null,
};
let source = null;
let maps = []; // of the image and of each layer

// One request at a time of each kind: while one runs, only the newest of the others waits.
function latest(run) {
  let running = false;
  let next = null;
  return async function ask(...arguments_) {
    if (running) {
      next = arguments_;
      return;
    }
    running = true;
    try {
      await run(...arguments_);
      $("failure").textContent = "";
    } catch (error) {
      $("failure").textContent = error.message;
    }
    running = false;
    if (next) {
      const waiting = next;
      next = null;
      ask(...waiting);
    }
  };
}

function chosen(name) {
  return document.querySelector(`input[name=${name}]:checked`).value;
}

function request(more = {}) {
  const label = chosen("view") === "backward" ? state.label : null;
  return { image: encoded(state.image), label, frame: state.frame, ...more };
}

// The picture, and what is made of it before the network sees it.

const readPicture = latest(async (blob) => {
  const pictures = await source.picture(blob);
  if (state.hasPicture) receive(pictures); // it was not cleared meanwhile
});

function receive(pictures) {
  state.pictures = pictures;
  showSteps(pictures.steps);
  chooseImage();
}

function chooseImage() {
  const { drawn, prepared, problem, warnings } = state.pictures;
  const prepare = $("prepare").checked && state.model.digits;
  $("problem").textContent = (prepare && problem) || "";
  if (prepare && !prepared) {
    forget("No digit is found.");
    return;
  }
  state.image = numbers(prepare ? prepared : drawn);
  const unlike = warnings[prepare ? "prepared" : "drawn"];
  if (unlike.length) $("problem").textContent = `Unlike MNIST's images: ${unlike.join("; ")}`;
  look();
  compare(prepare && prepared ? drawn : prepared, !prepare);
}

/** Say what the network takes the other image for: as it is drawn, or prepared. */
const compare = latest(async (other, isPrepared) => {
  if (!other) {
    $("why").textContent = "";
    return;
  }
  const { output } = await source.predict({ image: other, frame: state.frame });
  const what = isPrepared ? "Prepared" : "As it is drawn, without these steps";
  $("why").textContent = `${what}, the network would say ${verdict(output)}.`;
});

/** Forget the image and all that was computed from it. */
function forget(text) {
  Object.assign(state, { image: null, look: null, place: null, label: null, isChosen: false });
  $("verdict").textContent = text;
  for (const id of ["loss", "why", "pixels-text"]) $(id).textContent = "";
  $("detail").hidden = true;
  $("overlay").width = $("overlay").height = 0;
  showClasses(null, 0);
  for (const map of maps) {
    map.index = null;
    map.clear();
  }
  showLayers();
}

// The network.

const look = latest(async () => {
  if (!state.image) return;
  const found = await source.look(request());
  if (!state.image) return; // it was cleared meanwhile
  state.look = found;
  const { output, loss, label } = found; // another class may have been chosen meanwhile
  if (!state.isChosen && state.label !== largest(output)) {
    state.label = largest(output);
    if (label !== null) look(); // the gradients are those of another class
  }
  $("verdict").textContent = verdict(output);
  showClasses(output, state.label);
  $("loss").textContent = loss === null ? "" : lossText(loss, label, output[label]);
  showLayers();
  showPixels();
  showPlace();
});

function chooseLabel(label) {
  state.label = label;
  state.isChosen = true;
  if (state.image) look();
}

function showLayers() {
  if (chosen("view") === "weights") {
    showWeights();
    return;
  }
  if (!state.look) return;
  const gradient = chosen("view") === "backward";
  maps[0].show(gradient ? state.look.image_gradient : state.image);
  for (const [i, map] of maps.slice(1).entries()) {
    const layer = state.look.layers[i];
    map.show(gradient ? layer.output_gradient : layer.output);
  }
}

const showWeights = latest(async () => {
  const { layers } = await source.weights({ frame: state.frame });
  if (chosen("view") !== "weights") return;
  maps[0].clear();
  for (const [i, map] of maps.slice(1).entries()) map.showKernel(layers[i].kernel);
});

// One number.

function choose(map, index) {
  for (const other of maps) if (other !== map) other.unselect();
  state.place = { map, index };
  map.element.after($("detail")); // where the eye is
  showPlace();
}

const showPlace = latest(async () => {
  const shown = state.place && state.image && chosen("view") !== "weights";
  $("detail").hidden = !shown;
  if (!shown) return;
  const { map, index } = state.place;
  if (chosen("view") === "backward") await backwardAt(map, index);
  else await forwardAt(map, index);
});

/** Show the terms of a value, and the pixels that it depends on. */
async function forwardAt(map, index) {
  const { layer } = map;
  if (map === maps[0]) {
    const value = maps[0].at(index);
    $("detail-body").replaceChildren(element("p", `Pixel ${index.join(", ")} of the image is ${short(value)}.`));
    return;
  }
  const terms = await source.terms(request({ layer: layer.name, index, part: "sums" }));
  const has = layer.activation !== "linear" && layer.kind !== "Activation";
  const after = has ? await source.terms(request({ layer: layer.name, index, part: "activation" })) : null;
  const added = source.adds(layer.name) && (await source.pixels(request({ kind: "contributions", layer: layer.name, index })));
  showForward($("detail-body"), layer, index, terms, after);
  showSeen($("detail-body"), state.image, terms.region, added && numbers(added));
}

/** Show the terms of a value's gradient: they come from the layer behind. */
async function backwardAt(map, index) {
  const next = maps[maps.indexOf(map) + 1];
  if (next) {
    const terms = await source.terms(request({ layer: next.layer.name, index, part: "gradient" }));
    showBackward($("detail-body"), next.layer, index, terms);
    return;
  }
  const { loss, output, label } = state.look;
  const lines = [`The gradient of the loss by output ${index[0]} is ${short(map.at(index))}.`];
  if (isLogarithm(loss, output[label])) {
    lines.push(`The loss is -ln p of class ${label}: its derivative is -1 / p there, and 0 elsewhere.`);
  }
  $("detail-body").replaceChildren(...lines.map((line) => element("p", line)));
}

// Which pixels matter.

const TEXTS = {
  none: "What the network sees.",
  saliency: "How much the loss of the class changes with each pixel.",
  occlusion: "How much of the class's probability is lost when a square of 5 x 5 pixels is covered: red is lost.",
};

const showPixels = latest(async () => {
  if (!state.image) return;
  const kind = chosen("kind");
  $("pixels-text").textContent = TEXTS[kind];
  const [height, width] = state.image.shape;
  let at = (i, j) => pixel(state.image, i, j);
  if (kind !== "none") {
    const { values } = numbers(await source.pixels(request({ kind, label: state.label })));
    const most = reach(values);
    at = (i, j) => colour(values[i * width + j] / most);
  }
  paint($("overlay"), height, width, at, Math.max(1, Math.round(OVERLAY / Math.max(height, width))));
});

// Images of one's own, and examples.

function bindInput(drawing) {
  const open = async (file) => {
    if (!file) return;
    try {
      drawing.show(await createImageBitmap(file));
    } catch {
      $("problem").textContent = `${file.name}: expected an image`;
      return;
    }
    state.hasPicture = true;
    readPicture(file);
  };
  let number = 0;
  const example = latest(async () => {
    const { image } = await source.example({ number: number++ });
    const array = numbers(image);
    const canvas = element("canvas");
    paint(canvas, array.shape[0], array.shape[1], (i, j) => pixel(array, i, j));
    drawing.show(canvas);
    drawing.changed();
  });
  $("clear").addEventListener("click", () => drawing.clear());
  $("undo").addEventListener("click", () => drawing.undo());
  $("example").hidden = !state.model.examples;
  $("example").addEventListener("click", () => example());
  const chosenFile = () => {
    open($("file").files[0]);
    $("file").value = ""; // the same file may be opened again
  };
  $("file").addEventListener("change", chosenFile);
  if ($("file").files.length) chosenFile();
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}

/** Read the drawing, or forget everything when it is empty. */
async function drawn(drawing) {
  if (!state.model) return;
  if (drawing.empty) {
    state.hasPicture = false;
    state.pictures = null;
    $("steps").replaceChildren();
    $("problem").textContent = "";
    forget("Nothing is drawn yet.");
    return;
  }
  state.hasPicture = true;
  readPicture(await drawing.blob());
}

// The beginning.

function bindChoices() {
  $("prepare").addEventListener("change", () => state.pictures && chooseImage());
  for (const input of document.querySelectorAll("input[name=view]")) {
    input.addEventListener("change", () => {
      for (const map of maps) map.clear();
      if (state.image && chosen("view") !== "weights") look();
      else showLayers();
      showPlace();
    });
  }
  for (const input of document.querySelectorAll("input[name=kind]")) {
    input.addEventListener("change", () => showPixels());
  }
  window.addEventListener("resize", () => showLayers());
  $("json").addEventListener("click", () => state.look && saveJson(state));
  $("png").addEventListener("click", () => savePng(maps));
}

const confuse = latest(async () => {
  if (!$("confusion").open) return;
  $("confusion-text").textContent = "Counting …";
  showConfusion(await source.confusion({ frame: state.frame }));
});

function showFrame(number) {
  state.frame = number;
  if (state.image) look();
  else showLayers();
  confuse();
}

async function begin() {
  // what is drawn, or chosen, before the model has come is read then
  const drawing = document.getElementById("numbers") ? null : new Drawing($("paper"), $("pen"), () => drawn(drawing));
  source = await findSource();
  const model = (state.model = await source.model());
  const size = model.input_shape.join(" x ");
  $("about").textContent = `${model.name}: ${model.parameters.toLocaleString("en")} parameters, images of ${size}`;
  if (!model.digits) {
    $("prepare").closest("label").hidden = true;
    $("prepare").checked = false;
    $("input-title").textContent = "Draw, or open an image";
  }
  const last = model.layers[model.layers.length - 1].output_shape;
  makeClasses(last[last.length - 1], chooseLabel);
  const image = { name: "image", kind: "the input", output_shape: model.input_shape, activation: "linear" };
  maps = [image, ...model.layers].map((layer) => {
    const map = new Maps(layer, (index) => choose(map, index));
    return map;
  });
  $("layers").append(...maps.map((map) => map.element));
  bindChoices();
  $("confusion").hidden = !model.examples;
  $("confusion").addEventListener("toggle", () => confuse());
  makeFilm(model.frames, showFrame);
  if (!drawing) {
    await openFile();
    return;
  }
  bindInput(drawing);
  if (!drawing.empty) drawn(drawing);
}

/** Show the picture of a page without a server. */
async function openFile() {
  document.body.classList.add("still");
  $("input-title").textContent = "The picture";
  const bitmap = await source.bitmap();
  const canvas = $("paper");
  canvas.removeAttribute("tabindex");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The picture that this page explains");
  const scale = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, bitmap.width * scale, bitmap.height * scale);
  $("prepare").checked = source.prepared;
  receive(await source.picture());
}

begin().catch((error) => ($("failure").textContent = error.message));
