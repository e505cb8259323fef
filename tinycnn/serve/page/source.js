// Where numbers come from: the server that sent this page.

/** Return the answer to a request as an object; throw the server's reason when it refuses. */
async function ask(path, options) {
  const answer = await fetch(path, options);
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

export const server = {
  live: true,
  model: () => ask("/api/model"),
  picture: (blob) => ask("/api/picture", { method: "POST", body: blob }),
  look: (request) => post("/api/look", request),
  terms: (request) => post("/api/terms", request),
  pixels: (request) => post("/api/pixels", request),
};
