// What is wrong with how this page looks? A list of sentences: the page scrolls sideways, text is cut
// off, texts stand on each other, contrast is under 4.5.
const found = [];
const name = (e) => `<${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}${e.className && e.className.trim ? "." + e.className.trim().split(/\s+/).join(".") : ""}>`;
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth + 1) {
  const wide = [...document.body.querySelectorAll("*")].find((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(".wide, .scroll, pre, nav"));
  found.push(`the page scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}${wide ? " because of " + name(wide) : ""}`);
}
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (text) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const ground = (e) => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) {
    const c = rgba(getComputedStyle(at).backgroundColor);
    if (c[3] > 0) layers.push(c);
    if (c[3] === 1) break;
  }
  return layers.reduceRight((under, top) => over(top, under), rgba(getComputedStyle(document.body).backgroundColor));
};
const luminance = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, e = node.parentElement;
  if (!node.data.trim() || e.closest(".visually-hidden, .skip, script, style, svg")) continue;
  const style = getComputedStyle(e);
  if (style.visibility !== "visible" || !e.checkVisibility() || parseFloat(style.fontSize) === 0) continue;
  const range = document.createRange(); range.selectNodeContents(node);
  let clip = null;
  for (let at = e; at; at = at.parentElement) {
    const s = getComputedStyle(at);
    if (s.overflowX !== "visible" || s.overflowY !== "visible") {
      const r = at.getBoundingClientRect();
      if (s.overflowX === "hidden" || s.overflowX === "clip") {
        for (const t of range.getClientRects()) if (t.width > 1 && (t.right > r.right + 1.5 || t.left < r.left - 1.5)) { found.push(`cut off: ${JSON.stringify(node.data.trim().slice(0, 40))} in ${name(at)}`); break; }
      }
      clip = clip ? { left: Math.max(clip.left, r.left), right: Math.min(clip.right, r.right), top: Math.max(clip.top, r.top), bottom: Math.min(clip.bottom, r.bottom) } : r;
    }
  }
  const below = ground(e), ink = over(rgba(style.color), below);
  const [high, low] = [luminance(ink), luminance(below)].sort((a, b) => b - a);
  const contrast = (high + 0.05) / (low + 0.05);
  if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)}: ${JSON.stringify(node.data.trim().slice(0, 40))} in ${name(e)}`);
  for (const r of range.getClientRects()) {
    const box = { left: r.left, right: r.right, top: r.top, bottom: r.bottom, text: node.data.trim().slice(0, 30), e };
    if (clip) { box.left = Math.max(box.left, clip.left); box.right = Math.min(box.right, clip.right); box.top = Math.max(box.top, clip.top); box.bottom = Math.min(box.bottom, clip.bottom); }
    if (box.right - box.left > 2 && box.bottom - box.top > 2) texts.push(box);
  }
}
const sticky = (e) => e.closest("th[scope=row], thead th:first-child");
texts.sort((a, b) => a.top - b.top);
for (let i = 0; i < texts.length; i++) {
  for (let j = i + 1; j < texts.length && texts[j].top < texts[i].bottom; j++) {
    const a = texts[i], b = texts[j];
    if (a.e === b.e || a.e.contains(b.e) || b.e.contains(a.e)) continue;
    // A fixed first column stands over what scrolls under it.
    if (!!sticky(a.e) !== !!sticky(b.e)) continue;
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    // The lines' boxes of two neighbours may touch; letters do not before a third of a line does.
    if (across > 2 && down > 6) found.push(`overlap: ${JSON.stringify(a.text)} and ${JSON.stringify(b.text)}`);
  }
}
return [...new Set(found)];
