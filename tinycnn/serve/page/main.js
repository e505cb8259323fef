// The page: what is drawn, chosen and shown, and when the source is asked.

import { colour, encoded, numbers, paint, pixel, reach, say } from "./arrays.js";
import { Drawing } from "./drawing.js";
import { makeFilm, showConfusion } from "./film.js";
import { fail, latest } from "./latest.js";
import { Maps } from "./maps.js";
import { bindInput } from "./opening.js";
import { byClass, largest, lossText, makeClasses, showClasses, showSteps, verdict } from "./output.js";
import { backwardAt, forwardAt } from "./place.js";
import { saveJson, savePng } from "./saving.js";
import { findSource } from "./source.js";

const NOTHING = "Nothing is shown that could be saved: draw something first.";
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

function chosen(name) {
  return document.querySelector(`input[name=${name}]:checked`).value;
}

function request(more = {}) {
  const label = chosen("view") === "backward" ? state.label : null;
  return { image: encoded(state.image), label, frame: state.frame, ...more };
}

// The picture, and what is made of it before the network sees it.

const readPicture = latest(async (blob) => {
  let pictures = null;
  try {
    pictures = await source.picture(blob);
  } catch (error) {
    state.pictures = null; // what is shown is that of another picture
    showSteps(null);
    forget("The picture cannot be read.");
    throw error;
  }
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
  compareOther();
}

function compareOther() {
  const prepare = $("prepare").checked && state.model.digits;
  compare(prepare ? state.pictures.drawn : state.pictures.prepared, !prepare);
}

/** Say what the network takes the other image for: as it is drawn, or prepared. */
const compare = latest(async (other, isPrepared) => {
  if (!other) {
    say("why", "");
    return;
  }
  const { output } = await source.predict({ image: other, frame: state.frame });
  if (!state.image) return; // it was cleared meanwhile
  const what = isPrepared ? "Prepared" : "As it is drawn, without these steps";
  say("why", `${what}, the network would say ${verdict(byClass(output))}.`);
});

/** Forget the image and all that was computed from it. */
function forget(text) {
  Object.assign(state, { image: null, look: null, place: null, label: null, isChosen: false });
  say("verdict", text);
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
  const found = await source.look(request()).catch(unlook);
  if (!state.image) return; // it was cleared meanwhile
  state.look = found;
  fail("saving", "");
  const { loss, label } = found; // another class may have been chosen meanwhile
  const output = byClass(found.output);
  if (!state.isChosen && state.label !== largest(output)) {
    state.label = largest(output);
    if (label !== null) look(); // the gradients are those of another class
  }
  say("verdict", verdict(output));
  showClasses(output, state.label);
  $("loss").textContent = loss === null ? "" : lossText(loss, label, output[label]);
  if (chosen("view") !== "weights") showLayers(); // weights are not those of an image
  showPixels();
  showPlace();
});

/** Take away what is not that of the image, the class and the frame which are chosen now. */
function unlook(error) {
  state.look = null;
  say("loss", "");
  if (chosen("view") !== "weights") for (const map of maps) map.clear();
  if (source.live) {
    say("verdict", "The network has no answer.");
    showClasses(null, state.label ?? 0);
  } else {
    showClasses(null, state.label); // of a class that the page has no gradients of
  }
  throw error;
}

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
  const { layers } = await source.weights({ frame: state.frame }).catch((error) => {
    for (const map of maps) map.clear();
    throw error;
  });
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
  const { place, image } = state;
  const view = chosen("view");
  // without maps of this view they come, and ask again
  const isReady = place?.map.array && (view === "forward" || (view === "backward" && state.look?.loss != null));
  const shown = image && isReady;
  $("detail").hidden = !shown;
  if (!shown) return;
  const { map, index } = place;
  const next = maps[maps.indexOf(map) + 1];
  const asked = request({ layer: (view === "backward" ? next : map)?.layer.name, index });
  const show = await (view === "backward" ? backwardAt : forwardAt)(source, asked, { map, next, image, look: state.look });
  if (state.place === place && state.image && chosen("view") === view) show($("detail-body")); // not chosen anew meanwhile
});

// Which pixels matter.

const TEXTS = {
  none: "What the network sees.",
  saliency: "How much the loss of the class changes with each pixel.",
  occlusion: "How much of the class's output is lost when a square around the pixel is covered: red is lost.",
};

const showPixels = latest(async () => {
  if (!state.image) return;
  const { image } = state;
  const kind = chosen("kind");
  const [height, width] = image.shape;
  let at = (i, j) => pixel(image, i, j);
  if (kind !== "none") {
    const { values } = numbers(await source.pixels(request({ kind, label: state.label })));
    const most = reach(values);
    at = (i, j) => colour(values[i * width + j] / most);
  }
  if (!state.image || chosen("kind") !== kind) return; // cleared, or another map chosen, meanwhile
  say("pixels-text", kind === "occlusion" ? `${TEXTS[kind]} Its side is ${state.model.covered} pixels.` : TEXTS[kind]);
  paint($("overlay"), height, width, at, Math.max(1, Math.round(OVERLAY / Math.max(height, width))));
});

// The drawing.

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
  $("json").addEventListener("click", () => {
    fail("saving", state.look ? "" : NOTHING);
    if (state.look) saveJson(state);
  });
  $("png").addEventListener("click", () => {
    const shown = maps.filter(({ array }) => array);
    fail("saving", shown.length ? "" : NOTHING);
    if (shown.length) savePng(shown);
  });
}

const confuse = latest(async () => {
  if (!$("confusion").open) return;
  $("confusion-text").textContent = "Counting …";
  const found = await source.confusion({ frame: state.frame }).catch((error) => {
    $("confusion-text").textContent = "";
    $("matrix").replaceChildren(); // it was that of another frame
    throw error;
  });
  showConfusion(found);
});

function showFrame(number) {
  state.frame = number;
  if (!state.image || chosen("view") === "weights") showLayers();
  if (state.image) {
    look();
    compareOther();
  }
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
  const outputs = last[last.length - 1];
  makeClasses(outputs === 1 && model.probabilities ? 2 : outputs, model.probabilities, chooseLabel);
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
  const read = (blob) => {
    state.hasPicture = true;
    readPicture(blob);
  };
  bindInput(drawing, model.examples ? source.example : null, read);
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
