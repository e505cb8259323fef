// The left and the middle of the page: the steps of the preparation, the ten probabilities, the loss.

import { element, numbers, paint, percent, pixel, short } from "./arrays.js";

let areShares = true; // whether the outputs are probabilities

/** Show each step of the preparation as a small picture. */
export function showSteps(steps) {
  const items = Object.entries(steps ?? {}).map(([name, step]) => {
    const item = element("li");
    const canvas = element("canvas");
    const array = numbers(step);
    paint(canvas, array.shape[0], array.shape[1], (i, j) => pixel(array, i, j));
    item.append(canvas, name);
    return item;
  });
  document.getElementById("steps").replaceChildren(...items);
}

/** Make a bar for each class; `choose(number)` is called for one that is chosen. Percent are for probabilities. */
export function makeClasses(count, probabilities, choose) {
  areShares = probabilities;
  const list = document.getElementById("classes");
  for (let i = 0; i < count; i++) {
    const row = element("button", "", "class");
    row.type = "button";
    row.setAttribute("role", "radio");
    const bar = element("span", "", "bar");
    bar.append(element("span"));
    row.append(element("span", String(i)), bar, element("span", "", "number"));
    row.addEventListener("click", () => choose(i));
    row.addEventListener("keydown", (event) => {
      const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const next = (i + move + count) % count;
      choose(next);
      list.children[next].focus();
    });
    list.append(row);
  }
  showClasses(null, 0);
}

/** Show the outputs as bars, and which class is chosen; without outputs, empty bars. */
export function showClasses(output, label) {
  const most = output && !areShares ? Math.max(...output.map(Math.abs)) || 1 : 1;
  for (const [i, row] of [...document.getElementById("classes").children].entries()) {
    const share = output ? Math.min(Math.max(output[i] / most, 0), 1) : 0;
    row.querySelector("span span").style.width = `${100 * share}%`;
    row.querySelector(".number").textContent = output ? written(output[i], 2) : "";
    row.setAttribute("aria-checked", String(i === label));
    row.tabIndex = i === label ? 0 : -1;
  }
}

/** Return a value for each class: a single probability is that of class 1. */
export function byClass(output) {
  return areShares && output.length === 1 ? [1 - output[0], output[0]] : output;
}

/** Return the number of the largest output. */
export function largest(output) {
  return output.indexOf(Math.max(...output));
}

/** Return the prediction in words. */
export function verdict(output) {
  if (output.length === 1) return `Output ${short(output[0])}`;
  const best = largest(output);
  return areShares ? `${best}, with ${percent(output[best])}` : `${best}, with an output of ${short(output[best])}`;
}

function written(value, places) {
  return areShares ? percent(value, places) : short(value);
}

/** Return whether a loss is the plain cross-entropy of a probability. */
export function isLogarithm(loss, probability) {
  return areShares && Math.abs(loss + Math.log(probability)) < 1e-4 * (1 + loss);
}

/** Return the loss in words, with its formula where it is the plain cross-entropy. */
export function lossText(loss, label, probability) {
  const formula = isLogarithm(loss, probability) ? ` = -ln ${Number(probability.toPrecision(6))}` : "";
  return `Loss for class ${label}: ${short(loss)}${formula}`;
}
