// The training film: a slider over the models of a run, and what the network takes each class for.

import { colour, element, percent } from "./arrays.js";

const FRAME_TIME = 700; // ms between two frames

/** Make the slider work; `show(number)` is called with the frame to show. */
export function makeFilm(frames, show) {
  if (!frames.length) return;
  const [film, slider, play, moment] = ["film", "frame", "play", "moment"].map((id) => document.getElementById(id));
  const counted = frames.some(({ steps }) => steps); // files of other libraries may not know them
  film.hidden = false;
  slider.max = frames.length - 1;
  slider.value = frames.length - 1;
  const turn = () => {
    const { steps, epochs, name } = frames[slider.value];
    moment.textContent = counted ? `step ${steps.toLocaleString("en")}, epoch ${epochs}` : name;
    slider.setAttribute("aria-valuetext", moment.textContent);
    show(Number(slider.value));
  };
  slider.addEventListener("input", turn);
  let timer = null;
  play.addEventListener("click", () => {
    if (timer) {
      clearInterval(timer);
      timer = null;
    } else {
      timer = setInterval(() => {
        slider.value = (Number(slider.value) + 1) % frames.length;
        turn();
      }, FRAME_TIME);
    }
    play.textContent = timer ? "Stop" : "Play";
  });
  turn();
}

/** Show a confusion matrix as a table: rows are true classes, columns are predictions. */
export function showConfusion({ matrix, images, correct }) {
  document.getElementById("confusion-text").textContent =
    `${correct} of ${images} images are recognised (${percent(correct / images)}). Rows are true classes.`;
  const table = element("table");
  const head = table.createTHead().insertRow();
  head.append(element("th", ""), ...matrix.map((_, j) => element("th", String(j))));
  const body = table.createTBody();
  const most = Math.max(1, ...matrix.flatMap((row, i) => row.filter((_, j) => i !== j)));
  for (const [i, row] of matrix.entries()) {
    const line = body.insertRow();
    const cells = row.map((count, j) => {
      const cell = element("td", count ? String(count) : "");
      if (i !== j && count) {
        const [r, g, b] = colour(0.15 + (0.6 * count) / most);
        cell.style.cssText = `background: rgb(${r}, ${g}, ${b}); color: #000`;
      }
      return cell;
    });
    line.append(element("th", String(i)), ...cells);
  }
  document.getElementById("matrix").replaceChildren(table);
}
