// Follows the page that is open: fetches it once more every few seconds and takes over the parts
// that are marked. What the reader has opened, ticked or is typing stays.
"use strict";

const EVERY = 3000;
const SLOWEST = 60000;
const MINUTES = 5;
const TWICE = 2000;
// Workers count with their heartbeats, some seconds apart: a rate is taken over this many.
const SMOOTH = 15;

const follow = document.getElementById("follow");
const points = [];

function restore(before, after) {
  for (const open of before.querySelectorAll("details[data-key][open]")) {
    const same = after.querySelector(`details[data-key="${CSS.escape(open.dataset.key)}"]`);
    if (same) same.open = true;
  }
  for (const ticked of before.querySelectorAll("input[type=checkbox]:checked")) {
    // several may have the same value: each stands for one of them
    const value = `[value="${CSS.escape(ticked.value)}"]`;
    const same = after.querySelector(`input[name="${CSS.escape(ticked.name)}"]${value}:not(:checked)`);
    if (same) same.checked = true;
  }
}

// Whether the reader is at work in there: then it stays as it is for now. A row that moves under the
// mouse would have another job hit than was meant.
function inUse(part) {
  const selection = document.getSelection();
  const selects = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const focused = document.activeElement;
  return selects || part.querySelector("button:hover, summary:hover") || (part.contains(focused) && focused !== part);
}

function takeOver(fresh) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const other = fresh.getElementById(part.id);
    if (!other || part.isEqualNode(other) || inUse(part)) continue;
    const scrolled = part.scrollLeft;
    restore(part, other);
    const adopted = document.adoptNode(other);
    part.replaceWith(adopted);
    adopted.scrollLeft = scrolled;
  }
}

async function refresh() {
  if (document.hidden || !follow.checked || document.querySelector("[data-still]")) return;
  const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok) {
    const words = Array.from(fresh.querySelectorAll("h1, main p"), (one) => one.textContent);
    return say(words.join(": ") || `The answer was ${answer.status}.`);
  }
  if (document.querySelector("[data-away]")) return location.replace(location.href);
  say("");
  takeOver(fresh);
  note();
}

function say(text) {
  const place = document.getElementById("warnings");
  if (!place) return;
  let line = document.getElementById("away");
  if (!text) return line?.remove();
  if (!line) {
    line = document.createElement("p");
    line.id = "away";
    line.className = "banner";
    line.setAttribute("role", "alert");
    place.before(line);
  }
  line.textContent = text;
}

// The chart of the last minutes: each fetch brings totals, the difference is what has run.
function note() {
  const figures = document.getElementById("figures")?.dataset;
  if (!figures) return;
  const point = { at: +figures.now, processed: +figures.processed, failed: +figures.failed, latency: +figures.latency };
  const last = points.at(-1);
  if (last && point.at <= last.at) return;
  const base = points.find((earlier) => earlier.at >= point.at - SMOOTH);
  if (base) {
    const seconds = point.at - base.at;
    point.runs = Math.max(0, point.processed - base.processed) / seconds;
    point.fails = Math.max(0, point.failed - base.failed) / seconds;
  }
  points.push(point);
  while (points[0].at < point.at - MINUTES * 60) points.shift();
  draw(point);
}

function draw(last) {
  const rated = points.filter((point) => point.runs !== undefined);
  const most = Math.max(...rated.map((point) => point.runs), 0);
  const longest = Math.max(...points.map((point) => point.latency), 0);
  const each = (all, of) => all.map((point) => [point.at, of(point)]);
  line("line-runs", 100, each(rated, (point) => point.runs), most, last.at);
  line("line-failed", 100, each(rated, (point) => point.fails), most, last.at);
  line("line-latency", 60, each(points, (point) => point.latency), longest, last.at);
  const write = (id, text) => { document.getElementById(id).textContent = text; };
  write("liverate", `up to ${number(most)}`);
  write("livewait", `up to ${lasting(longest)}`);
  if (last.runs !== undefined) write("rates", `${number(last.runs)} runs a second, ${number(last.fails)} failed`);
}

function line(id, height, values, most, now) {
  const start = now - MINUTES * 60;
  const place = ([at, value]) => {
    const x = ((at - start) / (MINUTES * 60)) * 600;
    const y = height - 1 - (most > 0 ? (value / most) * (height - 4) : 0);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  document.getElementById(id).setAttribute("points", values.map(place).join(" "));
}

function lasting(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours ? `${hours}h ${minutes}m` : `${minutes}m ${Math.floor(seconds % 60)}s`;
}

function number(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

// Enter on a box would press the first button of its form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input[type=checkbox]")) event.preventDefault();
});

// Ticking the box in the head of a table ticks all of them.
document.addEventListener("change", (event) => {
  if (!event.target.matches("input[data-all]")) return;
  const table = event.target.closest("table");
  for (const box of table.querySelectorAll("tbody input[type=checkbox]")) box.checked = event.target.checked;
});

// A double click is one: a cron line would run twice.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  if (event.timeStamp - (sent.get(event.target) ?? -Infinity) < TWICE) return event.preventDefault();
  sent.set(event.target, event.timeStamp);
});

for (const scripted of document.querySelectorAll(".scripted, .live")) scripted.hidden = false;
follow.checked = sessionStorage.getItem("follow") !== "no";
follow.addEventListener("change", () => sessionStorage.setItem("follow", follow.checked ? "yes" : "no"));
note();
(async () => {
  for (let pause = EVERY; ; ) {
    await new Promise((done) => setTimeout(done, pause));
    const began = performance.now();
    try {
      await refresh();
    } catch {
      if (!document.hidden) say("The web process does not answer. The page shows what was so before.");
    }
    // what takes the server long, and all the more what it never ends in time, is not asked for all the time
    pause = Math.min(Math.max(EVERY, 10 * (performance.now() - began)), SLOWEST);
  }
})();
