// A sweep's page: pointing at a point tells it, a click selects it in every picture, and heat maps.
const rowOf = new Map();
for (const row of document.querySelectorAll("table.points tbody tr")) {
  rowOf.set(row.cells[row.cells.length - 1].textContent.trim(), row);
}
const headsOf = (row) => [...row.closest("table").tHead.rows[0].cells].map((each) => each.textContent);
const told = (key) => {
  const row = rowOf.get(key);
  if (!row) return `point ${key}`;
  const heads = headsOf(row);
  return [...row.cells]
    .map((cell, place) => (heads[place] === "front" ? "" : `${heads[place]} ${cell.textContent}`))
    .filter((each) => each !== "")
    .join(", ");
};
const every = (key) => [
  ...document.querySelectorAll(`[data-k="${CSS.escape(key)}"]`),
  ...(rowOf.has(key) ? [rowOf.get(key)] : []),
];
const mark = (key, kind, on) => {
  for (const each of every(key)) each.classList.toggle(kind, on);
};
for (const each of document.querySelectorAll("[data-k]")) {
  const key = each.getAttribute("data-k");
  const words = each.closest("section").querySelector(".told");
  each.addEventListener("pointerenter", () => {
    if (words) words.textContent = told(key);
    mark(key, "near", true);
  });
  each.addEventListener("pointerleave", () => mark(key, "near", false));
  each.addEventListener("click", () => mark(key, "picked", !each.classList.contains("picked")));
}
for (const [key, row] of rowOf) {
  row.addEventListener("click", () => mark(key, "picked", !row.classList.contains("picked")));
}
const element = (name, text) => {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
};
const short = (value) => {
  if (value === null || value === undefined) return "-";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(4);
};
// An axis of many values is shown in ranges of them: a search may draw another value for each point.
const most = 32;
const ranges = ([name, values]) => {
  const each = Math.ceil(values.length / most);
  const starts = values.map((_, at) => at).filter((at) => at % each === 0);
  const last = (at) => values[Math.min(at + each, values.length) - 1];
  return { name, each, heads: starts.map((at) => (last(at) === values[at] ? values[at] : `${values[at]} to ${last(at)}`)) };
};
const drawn = (section) => {
  const data = JSON.parse(section.querySelector(".data").textContent);
  const [across, down, shown] = [...section.querySelectorAll("select")].map((each) => Number(each.value));
  const goal = data.goals[shown][1];
  const place = data.axes.length + shown;
  const [wide, high] = [ranges(data.axes[across]), ranges(data.axes[down])];
  const best = new Map();
  for (const point of data.points) {
    const key = `${Math.floor(point[down] / high.each)},${Math.floor(point[across] / wide.each)}`;
    const value = point[place];
    if (value === null) continue;
    const known = best.get(key);
    if (known === undefined || (goal === "min" ? value < known : value > known)) best.set(key, value);
  }
  const values = [...best.values()];
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  const table = document.createElement("table");
  table.setAttribute("aria-label", `${data.goals[shown][0]} by ${high.name} and ${wide.name}`);
  const top = table.createTHead().insertRow();
  top.append(element("th", `${high.name} \\ ${wide.name}`));
  for (const each of wide.heads) top.append(element("th", each));
  const body = table.createTBody();
  high.heads.forEach((name, row) => {
    const line = body.insertRow();
    line.append(element("th", name));
    wide.heads.forEach((_, column) => {
      const value = best.get(`${row},${column}`);
      const cell = element("td", short(value));
      if (value !== undefined) {
        const share = greatest > least ? (value - least) / (greatest - least) : 0;
        const good = goal === "min" ? 1 - share : share;
        cell.style.background = `color-mix(in srgb, var(--c0) ${Math.round(10 + 60 * good)}%, transparent)`;
      }
      line.append(cell);
    });
  });
  section.querySelector(".heat").replaceChildren(table);
};
for (const data of document.querySelectorAll("script.data")) {
  const section = data.closest("section");
  for (const each of section.querySelectorAll("select")) each.addEventListener("change", () => drawn(section));
  drawn(section);
}
