// Live refresh, read-out and zoom of charts. Everything works without this script too: it only
// saves a reload. Three parts: morph (make this page equal to a newer copy of itself, keeping
// focus, scroll and open details), live (when to do that), charts (pointing and dragging).
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
  attributes(old, fresh);
  if (old.nodeName === "FIGURE" && old.classList.contains("chart")) {
    picture(old, fresh);
    return;
  }
  const atEnd = old.scrollHeight - old.scrollTop - old.clientHeight < 4;
  const a = [...old.childNodes];
  const b = [...fresh.childNodes];
  for (let i = 0; i < b.length; i++) {
    if (i < a.length) morph(a[i], b[i]);
    else old.append(document.importNode(b[i], true));
  }
  for (let i = b.length; i < a.length; i++) a[i].remove();
  if (old.hasAttribute("data-tail") && atEnd) old.scrollTop = old.scrollHeight;
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
  const parts = ["source", "img"];
  const same = parts.every((p) => old.querySelector(p)?.outerHTML === fresh.querySelector(p)?.outerHTML);
  if (same) return;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const next = new Image();
  const swap = () => {
    for (const p of parts) {
      const to = old.querySelector(p);
      const from = fresh.querySelector(p);
      if (!to || !from) continue;
      for (const { name, value } of from.attributes) if (to.getAttribute(name) !== value) to.setAttribute(name, value);
    }
    old.data = undefined;
  };
  next.onload = swap;
  next.onerror = swap;
  next.src = dark ? fresh.querySelector("source").srcset : fresh.querySelector("img").getAttribute("src");
}

// ---- live -------------------------------------------------------------------------------------

const live = document.getElementById("live");
let shown = Number(document.body.dataset.counter);
let busy = false;
let missed = false;

async function refresh() {
  if (busy) {
    missed = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
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

function listen() {
  const events = new EventSource("/api/v1/events");
  events.addEventListener("change", (event) => {
    live?.classList.remove("lost");
    if (Number(event.data) !== shown && !document.hidden) refresh();
    latest = Number(event.data);
  });
  events.onerror = () => {
    if (live) {
      live.classList.add("lost");
      live.title = "The server does not answer; this page shows what was last known.";
    }
  };
}
let latest = shown;
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && latest !== shown) refresh();
});

// A link that only changes the choices of this page keeps the scroll position.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.(".seg a, .caption a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  if (new URL(link.href).pathname !== location.pathname) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  await refresh();
});
addEventListener("popstate", refresh);

// ---- charts -----------------------------------------------------------------------------------
