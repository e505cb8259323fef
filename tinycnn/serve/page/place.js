// One value that was chosen: what has to be asked about it, forward and backward, and how the answers are shown.

import { element, numbers, short } from "./arrays.js";
import { showBackward, showForward, showSeen } from "./detail.js";
import { isLogarithm } from "./output.js";

/** Return a function that shows the terms of a value, and the pixels that it depends on. */
export async function forwardAt(source, asked, { map, image }) {
  const { layer } = map;
  const { index } = asked;
  if (layer.kind === "the input") {
    const value = map.at(index);
    return (place) => showLines(place, `Pixel ${index.join(", ")} of the image is ${short(value)}.`);
  }
  const terms = await source.terms({ ...asked, part: "sums" });
  const has = layer.activation !== "linear" && layer.kind !== "Activation";
  const after = has ? await source.terms({ ...asked, part: "activation" }) : null;
  const added = source.adds(layer.name) && (await source.pixels({ ...asked, kind: "contributions" }));
  return (place) => {
    showForward(place, layer, index, terms, after);
    showSeen(place, image, terms.region, added && numbers(added));
  };
}

/** Return a function that shows the terms of a value's gradient: they come from the layer behind, `next`. */
export async function backwardAt(source, asked, { map, next, look }) {
  const { index } = asked;
  if (next) {
    const terms = await source.terms({ ...asked, part: "gradient" });
    return (place) => showBackward(place, next.layer, index, terms);
  }
  const { loss, output, label } = look;
  const lines = [`The gradient of the loss by output ${index[0]} is ${short(map.at(index))}.`];
  if (output.length > 1 && isLogarithm(loss, output[label])) {
    lines.push(`The loss is -ln p of class ${label}: its derivative is -1 / p there, and 0 elsewhere.`);
  }
  return (place) => showLines(place, ...lines);
}

function showLines(place, ...lines) {
  place.replaceChildren(...lines.map((line) => element("p", line)));
}
