// The page: what is drawn, chosen and shown, and when the source is asked.

import { colour, encoded, floats, grey, levels, paint, reach, short } from "./arrays.js";
import { showBackward, showForward } from "./detail.js";
import { Drawing } from "./drawing.js";
import { Maps } from "./maps.js";
import { server as source } from "./source.js";

const $ = (id) => document.getElementById(id);
const FRAME_TIME = 700; // ms of a frame of the film
const state = { model: null, pictures: null, image: null, label: null, look: null, place: null, frame: null };
let maps = [];

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
    } catch (error) {
      $("problem").textContent = error.message;
    }
    running = false;
    if (next) {
      const waiting = next;
      next = null;
      ask(...waiting);
    }
  };
}

function backward() {
  return document.querySelector("input[name=direction]:checked").value === "backward";
}

function request(more = {}) {
  return { image: encoded(state.image), label: backward() ? state.label : null, frame: state.frame, ...more };
}

// The picture, and what is made of it before the network sees it.

const readPicture = latest(async (blob) => {
  state.pictures = await source.picture(blob);
  showSteps();
  chooseImage();
});

function chooseImage() {
  const { drawn, prepared, problem, warnings } = state.pictures;
  const prepare = $("prepare").checked && state.model.digits;
  $("problem").textContent = (prepare && problem) || "";
  if (prepare && !prepared) {
    $("verdict").textContent = "No digit found.";
    return;
  }
  state.image = floats(prepare ? prepared : drawn);
  const unlike = warnings[prepare ? "prepared" : "drawn"];
  if (unlike.length) $("problem").textContent = `Unlike MNIST's images: ${unlike.join("; ")}`;
  look();
}

function showSteps() {
  const steps = Object.entries(state.pictures.steps ?? {});
  $("steps").replaceChildren(
    ...steps.map(([name, step]) => {
      const item = document.createElement("li");
      const canvas = document.createElement("canvas");
      const { shape, values } = levels(step);
      const depth = shape[2] ?? 1;
      const at = (i, j) => {
        const first = (i * shape[1] + j) * depth;
        return depth === 3 ? [...values.slice(first, first + 3)].map((v) => Math.round(255 * v)) : grey(values[first]);
      };
      paint(canvas, shape[0], shape[1], at);
      item.append(canvas, name);
      return item;
    }),
  );
}

// The network.

const look = latest(async () => {
  state.look = await source.look(request());
  showOutput();
  showLayers();
  showPixels();
  showPlace();
});

function showOutput() {
  const { output, loss } = state.look;
  const best = output.indexOf(Math.max(...output));
  $("verdict").textContent = `${best}, with ${(100 * output[best]).toFixed(1)} %`;
  if (state.label === null) state.label = best;
  for (const [i, row] of [...$("classes").children].entries()) {
    row.querySelector("span span").style.width = `${100 * Math.min(Math.max(output[i], 0), 1)}%`;
    row.querySelector(".number").textContent = `${(100 * output[i]).toFixed(2)} %`;
    row.setAttribute("aria-checked", String(i === state.label));
    row.tabIndex = i === state.label ? 0 : -1;
  }
  $("loss").textContent = loss === null ? "" : `Loss for class ${state.label}: ${short(loss)}`;
}

function makeClasses(count) {
  for (let i = 0; i < count; i++) {
    const row = document.createElement("button");
    row.type = "button";
    row.className = "class";
    row.setAttribute("role", "radio");
    row.innerHTML = '<span></span><span class="bar"><span></span></span><span class="number"></span>';
    row.firstChild.textContent = String(i);
    row.addEventListener("click", () => chooseLabel(i));
    row.addEventListener("keydown", (event) => {
      const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      chooseLabel((i + move + count) % count);
      $("classes").children[state.label].focus();
    });
    $("classes").append(row);
  }
}

function chooseLabel(label) {
  state.label = label;
  if (state.image) look();
}

function showLayers() {
  const gradient = backward();
  for (const [i, map] of maps.entries()) {
    const layer = state.look.layers[i];
    map.show(gradient ? layer.output_gradient : layer.output);
  }
}

// One number.

function choose(map, index) {
  for (const other of maps) if (other !== map) other.unselect();
  state.place = { map, index };
  showPlace();
  if (kind() === "contributions") showPixels();
}

const showPlace = latest(async () => {
  if (!state.place || !state.image) return;
  const { map, index } = state.place;
  const { layer } = map;
  $("detail-text").textContent = "";
  if (backward()) {
    const next = maps[maps.indexOf(map) + 1];
    if (!next) {
      $("detail-text").textContent = "The gradient of the last layer comes from the loss itself.";
      $("detail-body").replaceChildren();
      return;
    }
    const terms = await source.terms(request({ layer: next.layer.name, index, part: "gradient" }));
    showBackward($("detail-body"), next.layer, index, terms);
    return;
  }
  const terms = await source.terms(request({ layer: layer.name, index, part: "sums" }));
  const has = layer.activation !== "linear" && layer.kind !== "Activation";
  const after = has ? await source.terms(request({ layer: layer.name, index, part: "activation" })) : null;
  showForward($("detail-body"), layer, index, terms, after);
});

// Which pixels matter.

function kind() {
  return document.querySelector("input[name=kind]:checked").value;
}

const TEXTS = {
  none: "What the network sees.",
  saliency: "How much the loss of the class changes with each pixel.",
  occlusion: "How much of the class's probability is lost when a square of 5 x 5 pixels is covered: blue is lost.",
  contributions: "What each pixel adds to the chosen neuron: blue adds, red takes away.",
};

const showPixels = latest(async () => {
  if (!state.image) return;
  const which = kind();
  $("pixels-text").textContent = TEXTS[which];
  const { shape, values } = state.image;
  const [height, width, depth] = shape;
  const pixel = (i, j) => {
    const first = (i * width + j) * depth;
    return depth === 3 ? [...values.slice(first, first + 3)].map((v) => Math.round(255 * v)) : grey(values[first]);
  };
  let at = pixel;
  if (which !== "none") {
    const more = { kind: which, label: state.label };
    if (which === "contributions") {
      if (!state.place) {
        $("pixels-text").textContent = "Choose a pixel of a map first.";
        return;
      }
      Object.assign(more, { layer: state.place.map.layer.name, index: state.place.index });
    }
    const map = floats(await source.pixels(request(more)));
    const most = reach(map.values);
    at = (i, j) => colour(map.values[i * width + j] / most);
  }
  paint($("overlay"), height, width, at, Math.max(1, Math.round(196 / Math.max(height, width))));
});

// The film.

function makeFilm(frames) {
  if (!frames.length) return;
  $("film").hidden = false;
  $("frame").max = frames.length - 1;
  $("frame").value = frames.length - 1;
  const show = () => {
    state.frame = Number($("frame").value);
    $("epoch").textContent = `epoch ${frames[state.frame].epochs}`;
    if (state.image) look();
  };
  $("frame").addEventListener("input", show);
  let timer = null;
  $("play").addEventListener("click", () => {
    if (timer) {
      clearInterval(timer);
      timer = null;
    } else {
      timer = setInterval(() => {
        $("frame").value = (Number($("frame").value) + 1) % frames.length;
        show();
      }, FRAME_TIME);
    }
    $("play").textContent = timer ? "Stop" : "Play";
  });
  show();
}

// Saving what is shown.

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function saveJson() {
  if (!state.look) return;
  const plain = (array) => array && { shape: array.shape, values: [...levels(array).values] };
  const layers = state.look.layers.map((layer) => {
    const arrays = Object.entries(layer).filter(([key]) => key !== "name");
    return { name: layer.name, ...Object.fromEntries(arrays.map(([key, array]) => [key, plain(array)])) };
  });
  const { output, loss, label } = state.look;
  const image = { shape: state.image.shape, values: [...state.image.values] };
  const text = JSON.stringify({ model: state.model.name, image, output, label, loss, layers });
  save("tinycnn.json", new Blob([text], { type: "application/json" }));
}

function savePng() {
  const shown = maps.map((map) => map.canvas).filter((canvas) => canvas.width);
  const whole = document.createElement("canvas");
  whole.width = Math.max(...shown.map((canvas) => canvas.width));
  whole.height = shown.reduce((sum, canvas) => sum + canvas.height + 24, 0);
  const context = whole.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, whole.width, whole.height);
  context.fillStyle = "#000";
  context.font = "14px sans-serif";
  let top = 0;
  for (const [i, canvas] of shown.entries()) {
    context.fillText(maps[i].layer.name, 2, top + 16);
    context.drawImage(canvas, 0, top + 22);
    top += canvas.height + 24;
  }
  whole.toBlob((blob) => save("tinycnn.png", blob), "image/png");
}

// The beginning.

async function begin() {
  const model = (state.model = await source.model());
  const size = model.input_shape.join(" x ");
  $("about").textContent = `${model.name}: ${model.parameters.toLocaleString("en")} parameters, images of ${size}`;
  if (!model.digits) {
    $("prepare").closest("label").hidden = true;
    $("prepare").checked = false;
  }
  const last = model.layers[model.layers.length - 1].output_shape;
  makeClasses(last[last.length - 1]);
  maps = model.layers.map((layer) => {
    const map = new Maps(layer, (index) => choose(map, index));
    return map;
  });
  $("layers").append(...maps.map((map) => map.element));
  makeFilm(model.frames);

  const drawing = new Drawing($("paper"), $("pen"), () => drawing.blob().then(readPicture));
  $("clear").addEventListener("click", () => drawing.clear());
  const open = async (file) => {
    if (!file) return;
    try {
      drawing.show(await createImageBitmap(file));
      readPicture(file);
    } catch {
      $("problem").textContent = `${file.name}: expected an image`;
    }
  };
  $("file").addEventListener("change", (event) => open(event.target.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
  $("prepare").addEventListener("change", () => state.pictures && chooseImage());
  for (const input of document.querySelectorAll("input[name=direction]")) {
    input.addEventListener("change", () => state.image && look());
  }
  for (const input of document.querySelectorAll("input[name=kind]")) {
    input.addEventListener("change", () => showPixels());
  }
  $("json").addEventListener("click", saveJson);
  $("png").addEventListener("click", savePng);
}

begin().catch((error) => ($("about").textContent = error.message));
