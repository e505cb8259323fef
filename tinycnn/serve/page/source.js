// Where numbers come from: the server that sent this page, or the page itself.

import { fileSource } from "./file.js";

/** Return the answer to a request as an object; throw the reason when there is none, or it is refused. */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is `tinycnn serve` still running?");
  }
  const body = await answer.text();
  if (answer.ok) return JSON.parse(body);
  let reason = body;
  try {
    reason = JSON.parse(body).error;
  } catch {
    // an answer of the guard is plain text
  }
  throw new Error(reason || `${answer.status} ${answer.statusText}`);
}

function post(path, value) {
  return ask(path, { method: "POST", body: JSON.stringify(value) });
}

const server = {
  live: true,
  adds: () => true,
  model: () => ask("/api/model"),
  picture: (blob) => ask("/api/picture", { method: "POST", body: blob }),
  look: (request) => post("/api/look", request),
  terms: (request) => post("/api/terms", request),
  pixels: (request) => post("/api/pixels", request),
  predict: (request) => post("/api/predict", request),
  weights: (request) => post("/api/weights", request),
  confusion: (request) => post("/api/confusion", request),
  example: (request) => post("/api/example", request),
};

/** Return the source of this page: its own arrays if there are any, otherwise the server. */
export async function findSource() {
  const numbers = document.getElementById("numbers");
  return numbers ? fileSource(numbers.textContent) : server;
}
