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
