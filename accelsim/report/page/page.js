"use strict";
// Sorting by any column, light and dark, and everything open on paper. No request to anywhere.
const prefixes = { p: 1e-12, n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const unit = (text) => {
  if (text === "") return 1;
  if (/^[KMGT]iB$/.test(text)) return 1024 ** ("KMGT".indexOf(text[0]) + 1);
  if (text === "B" || text === "s" || text === "J") return 1;
  return text.length < 3 && text[0] in prefixes ? prefixes[text[0]] : NaN;
};
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  if (text === "" || text === "-") return null;
  const parts = /^(-?[\d,]+(?:\.\d+)?)(?: ([A-Za-z]+))?$/.exec(text);
  const number = parts && Number(parts[1].replace(/,/g, "")) * unit(parts[2] ?? "");
  return parts === null || Number.isNaN(number) ? text.toLowerCase() : number;
};
const order = (a, b) => {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
};
const sort = (head) => {
  const column = head.cellIndex;
  const body = head.closest("table").tBodies[0];
  const first = head.classList.contains("t") ? "ascending" : "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort") === first ? other : first;
  for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", now);
  const sign = now === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => [value(row, column), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * order(a, b)));
  body.append(...rows.map(([, row]) => row));
};
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme ?? (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
// A box of a picture and its row of the table beside it are pointed at together.
for (const each of document.querySelectorAll("[data-l]")) {
  const both = each.closest("figure").querySelectorAll(`[data-l="${each.getAttribute("data-l")}"]`);
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false]]) {
    each.addEventListener(event, () => both.forEach((one) => one.classList.toggle("near", on)));
  }
  each.addEventListener("click", () => {
    for (const one of both) if (one !== each) one.scrollIntoView({ block: "nearest" });
  });
}
// A timeline zooms: what lies in it is drawn again, so that words keep their size.
const [begin, end] = [58, 886];
const numbered = (each, name) => Number(each.getAttribute(name));
for (const svg of document.querySelectorAll("svg.zooms")) {
  const drawn = [...svg.querySelectorAll("rect, text.in, line.grid, text[text-anchor=middle]")].map((each) => {
    const line = each.tagName === "line";
    return { each, line, x: numbered(each, line ? "x1" : "x"), wide: numbered(each, "width") };
  });
  let zoom = 1;
  const bar = document.createElement("p");
  bar.className = "pick";
  const place = document.createElement("input");
  Object.assign(place, { type: "range", min: 0, max: 1000, value: 0, disabled: true });
  place.setAttribute("aria-label", "part of the timeline that is shown");
  const redraw = () => {
    const left = (end - begin) * (zoom - 1) * (place.value / 1000);
    const at = (x) => begin + (x - begin) * zoom - left;
    for (const { each, line, x, wide } of drawn) {
      const [start, stop] = [Math.max(at(x), begin), Math.min(at(x + wide), end)];
      each.style.display = stop < begin || start > end || (!wide && at(x) < begin - 1) ? "none" : "";
      if (line) ["x1", "x2"].forEach((name) => each.setAttribute(name, at(x)));
      else each.setAttribute("x", wide ? start : at(x));
      if (wide) each.setAttribute("width", Math.max(stop - start, 0.3));
    }
    place.disabled = zoom === 1;
  };
  const press = (text, change) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text });
    button.addEventListener("click", () => {
      zoom = Math.min(Math.max(change(zoom), 1), 4096);
      redraw();
    });
    bar.append(button, " ");
  };
  press("zoom in", (now) => now * 2);
  press("zoom out", (now) => now / 2);
  press("whole run", () => 1);
  place.addEventListener("input", redraw);
  bar.append(place);
  svg.closest("figure").prepend(bar);
}
