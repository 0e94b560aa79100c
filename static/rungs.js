// Live refresh, read-out and zoom of charts, the end of a log. Everything works without this script
// too: it only saves a reload. Four parts: morph (make this page equal to a newer copy of itself,
// keeping focus, scroll and open details), live (when to do that), log (new lines as they are
// written), charts (pointing, dragging, keys).
"use strict";

// ---- morph ------------------------------------------------------------------------------------

// Makes `old` equal to `fresh` by changing as little as possible, so that what a person has in
// focus, has scrolled or has opened stays as it is.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  // The stream brings a log's lines; a fresh copy of the page would bring some of them again.
  if (followed.has(old)) return;
  attributes(old, fresh);
  if (old.nodeName === "FIGURE" && old.classList.contains("chart")) {
    picture(old, fresh);
    return;
  }
  const atEnd = old.scrollHeight - old.scrollTop - old.clientHeight < 4;
  children(old, [...old.childNodes], [...fresh.childNodes]);
  if (old.hasAttribute("data-tail") && atEnd) old.scrollTop = old.scrollHeight;
}

// What came or went in between leaves its neighbours alone: nodes are matched by name and id.
function children(parent, a, b) {
  const kind = (node) => `${node.nodeName}#${node.id ?? ""}`;
  let i = 0;
  b.forEach((fresh, j) => {
    let at = i;
    while (at < a.length && kind(a[at]) !== kind(fresh)) at++;
    const stays = (node) => node.nodeType === Node.ELEMENT_NODE && b.slice(j).some((later) => kind(later) === kind(node));
    const gone = !a.slice(i, at).some(stays);
    if (at < a.length && gone) {
      a.slice(i, at).forEach((node) => node.remove());
      i = at + 1;
      morph(a[at], fresh);
    } else {
      parent.insertBefore(document.importNode(fresh, true), a[i] ?? null);
    }
  });
  a.slice(i).forEach((node) => node.remove());
}

function attributes(old, fresh) {
  const value = old.getAttribute("data-value");
  for (const { name } of [...old.attributes]) {
    const kept = name === "open" || (name === "class" && old.classList.contains("chart"));
    if (!fresh.hasAttribute(name) && !kept) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name === "src" || name === "srcset") continue;
    if (name === "class" && old.classList.contains("chart")) continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const now = fresh.getAttribute("data-value");
  if (now !== null && now !== value) {
    old.classList.remove("flash");
    requestAnimationFrame(() => old.classList.add("flash"));
  }
}

// A chart is swapped only when its next picture is loaded, so that it never blinks.
function picture(old, fresh) {
  const [now, next] = [old.querySelector("picture"), fresh.querySelector("picture")];
  if (!now || !next || now.innerHTML === next.innerHTML) return;
  const fits = [...next.querySelectorAll("source")].find((source) => matchMedia(source.media).matches);
  const loader = new Image();
  loader.onload = loader.onerror = () => {
    now.replaceWith(document.importNode(next, true));
    drawn.delete(old);
  };
  loader.src = fits ? fits.srcset : next.querySelector("img").getAttribute("src");
}

// ---- live -------------------------------------------------------------------------------------

const live = document.getElementById("live");
let shown = Number(document.body.dataset.counter);
let told = 0;
let busy = false;
let missed = false;

async function refresh() {
  if (busy) {
    missed = true;
    return;
  }
  busy = true;
  try {
    // Of a slow page nothing older is wanted than the change that was told.
    const headers = { accept: "text/html", "Rungs-At-Least": String(told) };
    const answer = await fetch(location.href, { headers });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    shown = Number(fresh.body.dataset.counter);
    for (const part of ["main", "live"]) {
      const from = fresh.getElementById(part);
      const to = document.getElementById(part);
      if (from && to) morph(to, from);
    }
    if (document.title !== fresh.title) document.title = fresh.title;
    document.querySelectorAll("figure.chart").forEach(pointable);
  } finally {
    busy = false;
    if (missed) {
      missed = false;
      setTimeout(refresh, 250);
    }
  }
}

// A browser opens six connections to a server at most, so only the page that is seen listens.
let streams = [];

function listen() {
  const events = new EventSource("/api/v1/events");
  streams.push(events);
  events.addEventListener("change", (event) => {
    const lost = live?.classList.contains("lost");
    live?.classList.remove("lost");
    told = Number(event.data);
    if (told !== shown || lost) refresh();
  });
  events.onerror = () => {
    if (live) {
      live.classList.add("lost");
      live.textContent = "connection lost";
      live.title = "The server does not answer; this page shows what was last known.";
    }
  };
  document.querySelectorAll("pre[data-log]").forEach(follow);
}

function hear() {
  streams.forEach((stream) => stream.close());
  streams = [];
  // The form of the token answers what was typed; asked again it would know nothing of that.
  if (!document.hidden && location.pathname !== "/enter") listen();
}
document.addEventListener("visibilitychange", hear);

// A request that waits is answered by a file, which no counter tells of.
setInterval(() => {
  if (!document.hidden && document.querySelector('#asked[data-state="waiting"]')) refresh();
}, 1000);

// ---- log --------------------------------------------------------------------------------------

const followed = new WeakSet();

// New lines are added as they are written; who has scrolled up stays there.
function follow(log) {
  const stream = new EventSource(`${log.dataset.log}?from=${log.dataset.end}`);
  streams.push(stream);
  followed.add(log);
  stream.addEventListener("log", (event) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 4;
    log.append(JSON.parse(event.data));
    log.dataset.end = event.lastEventId;
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
}

// A link that only changes the choices of this page keeps the scroll position.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.(".seg a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  if (new URL(link.href).pathname !== location.pathname) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  await refresh();
});
addEventListener("popstate", refresh);

// ---- charts -----------------------------------------------------------------------------------

// What is known of a chart that was pointed at: where its plot lies, and its points.
const drawn = new WeakMap();
const known = new WeakSet();

// Everybody who asks meanwhile waits for the same answer, so that a press during the first look counts.
function chart(figure) {
  const address = figure.querySelector("img").currentSrc;
  const before = drawn.get(figure);
  if (before?.address === address) return before.ready;
  const entry = { address };
  drawn.set(figure, entry);
  entry.ready = fill(figure, entry).catch((error) => {
    if (drawn.get(figure) === entry) drawn.delete(figure);
    throw error;
  });
  return entry.ready;
}

async function fill(figure, entry) {
  const { address } = entry;
  const [svg, points] = await Promise.all([
    fetch(address).then((a) => a.text()),
    fetch(figure.dataset.chart).then((a) => a.json()),
  ]);
  // Read from the text: parsing it into this page would try to apply the picture's own style.
  const attribute = (name) => svg.match(new RegExp(` ${name}="([^"]*)"`))[1];
  const numbers = (name) => attribute(name).split(" ").map(Number);
  [entry.left, entry.top, entry.right, entry.bottom] = numbers("data-plot");
  [entry.low, entry.high] = numbers("data-x");
  entry.width = Number(attribute("width"));
  entry.points = points;
  return entry;
}

// Pixels of the picture and the value on its x axis under the pointer.
function place(figure, entry, event) {
  const box = figure.querySelector("img").getBoundingClientRect();
  const px = Math.min(Math.max((event.clientX - box.left) / scaleOf(figure, entry), entry.left), entry.right);
  const share = (px - entry.left) / (entry.right - entry.left);
  return { px, x: entry.low + share * (entry.high - entry.low) };
}

const scaleOf = (figure, entry) => figure.querySelector("img").getBoundingClientRect().width / entry.width;

function nearest(points, x) {
  let [a, b] = [0, points.length - 1];
  while (b - a > 1) {
    const middle = (a + b) >> 1;
    if (points[middle][0] < x) a = middle;
    else b = middle;
  }
  return b >= 0 && Math.abs(points[b][0] - x) < Math.abs(points[a][0] - x) ? points[b] : points[a];
}

function whereWords(kind, x) {
  if (kind === "wall") return new Date(x * 1000).toISOString().slice(0, 19).replace("T", " ");
  if (kind === "time") return `${Math.round(x * 10) / 10} s`;
  return `${kind} ${Math.round(x * 100) / 100}`;
}

function readout(figure, entry, x) {
  const box = figure.querySelector(".readout");
  box.replaceChildren();
  for (const series of entry.points.series) {
    const point = nearest(series.points, x);
    if (!point) continue;
    const key = document.createElement("i");
    key.className = `key k${series.colour}`;
    const line = document.createElement("div");
    const digits = { minimumFractionDigits: entry.points.digits, maximumFractionDigits: entry.points.digits };
    const value = point[1] === null ? "NaN" : point[1].toLocaleString("en", digits);
    line.append(key, `${series.label ? series.label + " " : ""}${value} at ${whereWords(entry.points.x, point[0])}`);
    box.append(line);
  }
}

// The cursor stands at the same x in every chart of the page that has the same axis.
async function point(figure, x) {
  const of = (await chart(figure)).points.x;
  for (const other of document.querySelectorAll("figure.chart")) {
    const entry = await chart(other).catch(() => undefined);
    if (entry?.points?.x !== of || !other.querySelector(".cursor")) continue;
    const inside = x >= entry.low && x <= entry.high;
    entry.at = x;
    other.classList.toggle("pointed", inside);
    if (!inside) continue;
    const px = entry.left + ((x - entry.low) / (entry.high - entry.low)) * (entry.right - entry.left);
    const scale = scaleOf(other, entry);
    stretch(other.querySelector(".cursor"), px, px + 1 / scale, entry, scale);
    readout(other, entry, x);
  }
}

function unpoint() {
  for (const figure of document.querySelectorAll("figure.chart.pointed")) {
    figure.classList.remove("pointed", "dragged");
    figure.querySelector(".readout")?.replaceChildren();
  }
}

function pointable(figure) {
  if (!known.has(figure)) {
    known.add(figure);
    let start = null;
    let over = false;
    const at = async (event, use) => {
      const entry = await chart(figure).catch(() => undefined);
      if (entry?.points) use(entry, place(figure, entry, event));
    };
    figure.addEventListener("pointermove", (event) => {
      over = true;
      at(event, (entry, { px, x }) => {
        if (!over) return;
        point(figure, x);
        if (start === null) return;
        figure.classList.add("dragged");
        stretch(figure.querySelector(".zoom"), Math.min(px, start.px), Math.max(px, start.px), entry, scaleOf(figure, entry));
      });
    });
    figure.addEventListener("pointerleave", () => {
      over = false;
      start = null;
      figure.classList.remove("dragged");
      unpoint();
    });
    if (figure.hasAttribute("data-zoom")) {
      figure.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || event.pointerType === "touch") return;
        event.preventDefault();
        figure.focus({ preventScroll: true });
        at(event, (_, here) => (start = here));
      });
      figure.addEventListener("pointerup", (event) =>
        at(event, (of, here) => {
          const from = start;
          start = null;
          figure.classList.remove("dragged");
          if (from && Math.abs(from.px - here.px) > 6) zoom(Math.min(from.x, here.x), Math.max(from.x, here.x), of.points.x);
        }),
      );
      figure.addEventListener("dblclick", () => zoom(null, null));
    }
    figure.addEventListener("keydown", (event) => key(figure, event));
    figure.addEventListener("blur", unpoint);
  }
  for (const name of ["cursor", "zoom", "readout"]) {
    if (figure.querySelector(`.${name}`)) continue;
    const part = document.createElement("div");
    part.className = name;
    if (name === "readout") part.setAttribute("role", "status");
    figure.append(part);
  }
}

// Arrows with Shift move the cursor from point to point; without, what is shown by a fifth of it. Plus and
// minus zoom, 0 shows all.
async function key(figure, event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  if (steps[event.key] && (event.shiftKey || !figure.hasAttribute("data-zoom"))) {
    event.preventDefault();
    await step(figure, steps[event.key]);
    return;
  }
  if (!figure.hasAttribute("data-zoom")) return;
  const moves = { ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2], "+": [0.25, -0.25], "=": [0.25, -0.25], "-": [-0.5, 0.5] };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "0" || event.key === "Escape") {
    zoom(null, null);
    return;
  }
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  const entry = await chart(figure).catch(() => undefined);
  if (!entry?.points?.full) return;
  const [first, last] = entry.points.full;
  const span = entry.high - entry.low;
  let [low, high] = [entry.low + move[0] * span, entry.high + move[1] * span];
  // Moving stops at the ends; zooming out ends where everything is shown.
  const shift = Math.max(first - low, 0) + Math.min(last - high, 0);
  if (move[0] === move[1]) [low, high] = [low + shift, high + shift];
  [low, high] = [Math.max(low, first), Math.min(high, last)];
  if (low <= first && high >= last) zoom(null, null);
  else if (high > low) zoom(low, high, entry.points.x);
}

// The cursor to the next point of any curve, in either direction.
async function step(figure, by) {
  const entry = await chart(figure).catch(() => undefined);
  if (!entry?.points) return;
  const all = entry.points.series.flatMap((series) => series.points.map(([x]) => x));
  const inside = [...new Set(all)].filter((x) => x >= entry.low && x <= entry.high).sort((a, b) => a - b);
  const at = figure.classList.contains("pointed") ? entry.at : undefined;
  const ahead = by > 0 ? inside.find((x) => at === undefined || x > at) : inside.findLast((x) => at === undefined || x < at);
  if (ahead === undefined) return;
  await point(figure, ahead);
}

function stretch(part, from, to, entry, scale) {
  Object.assign(part.style, {
    left: `${from * scale}px`,
    width: `${(to - from) * scale}px`,
    top: `${entry.top * scale}px`,
    height: `${(entry.bottom - entry.top) * scale}px`,
  });
}

// The part of x that is shown stands in the address, like every other choice: whole steps, else
// rounded outwards to about a thousandth of what is shown.
function zoom(from, to, axis) {
  const url = new URL(location.href);
  const digits = axis === "step" ? 0 : Math.max(0, Math.ceil(2.5 - Math.log10(to - from)));
  for (const [name, value, round] of [["from", from, Math.floor], ["to", to, Math.ceil]]) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, (round(value * 10 ** digits) / 10 ** digits).toFixed(digits));
  }
  if (url.href === location.href) return;
  history.pushState(null, "", url);
  refresh();
}

document.querySelectorAll("figure.chart").forEach(pointable);
document.querySelectorAll("[data-tail]").forEach((log) => (log.scrollTop = log.scrollHeight));
hear();
