// Requests, one at a time of each kind; what went wrong with each; whether the page shows what was asked last.

const failures = new Map(); // of each kind, the reason
let running = 0;

/** Say why something failed, or with "" that it did not. */
export function fail(kind, reason) {
  failures.delete(kind);
  if (reason) failures.set(kind, reason);
  const text = [...new Set(failures.values())].join(" ");
  const place = document.getElementById("failure");
  if (place.textContent !== text) place.textContent = text;
}

/** Return `run` as a function of which one call runs: of the others only the newest waits. */
export function latest(run) {
  let isRunning = false;
  let next = null;
  return async function ask(...arguments_) {
    if (isRunning) {
      next = arguments_;
      return;
    }
    isRunning = true;
    count(1);
    try {
      await run(...arguments_);
      fail(run, "");
    } catch (error) {
      fail(run, error.message);
    }
    isRunning = false;
    count(-1);
    if (next) {
      const waiting = next;
      next = null;
      ask(...waiting);
    }
  };
}

/** Mark the page as waiting: style.css makes pale what is no longer that of the choices. */
function count(change) {
  running += change;
  document.body.classList.toggle("waiting", running > 0);
}
