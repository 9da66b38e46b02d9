// The timeline down to a tile: data of a run are in a page as words, each said once, and their order.
const [gutter, lane, roomy, axis] = [104, 20, 34, 22];
const hues = { work: 0, "read ifmap": 0, "read filter": 2, "read psum": 3, "write psum": 5, "write ofmap": 1 };
const unpacked = ({ words, order }, take) => {
  const state = [0, 0, 0];
  return order.map((place) => take(words[place], state));
};
const slicesOf = (track, unit) =>
  unpacked(track, ([gap, cycles, further, number, what, amount], state) => {
    if (further) state[2] = 0;
    const start = state[0] + gap;
    state[0] = start + cycles;
    state[1] += further;
    state[2] += number;
    return { start, end: start + cycles, layer: state[1], tile: state[2], what, amount, unit };
  });
const roomOf = (track) =>
  unpacked(track, ([gap, more], state) => {
    state[0] += gap;
    state[1] += more;
    return [state[0], state[1]];
  });
const whole = (count) => Math.round(count).toLocaleString("en-US");
const lanesOf = (slices) => {
  const lanes = [];
  for (const each of slices) {
    const free = lanes.find((some) => some[some.length - 1].end <= each.start);
    if (free) free.push(each);
    else lanes.push([each]);
  }
  return lanes;
};
// The first place in `sorted` whose key is above `value`.
const behind = (sorted, value, key) => {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(sorted[middle]) > value) high = middle;
    else low = middle + 1;
  }
  return low;
};
const made = (kind, words, settings = {}) =>
  Object.assign(document.createElement(kind), { textContent: words, ...settings });
class Timeline {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.told = root.querySelector("p");
    this.table = root.querySelector("details");
    const data = JSON.parse(root.querySelector("pre").textContent);
    this.data = data;
    const layers = data.layers
      .map(([name, start, end, hue], layer) => ({ name, start, end, hue, layer, what: "layer" }))
      .filter((each) => each.end > each.start)
      .sort((one, other) => one.start - other.start);
    this.rows = lanesOf(layers).map((slices, i) => ({ name: i ? "" : "layers", slices }));
    for (const [name, track] of Object.entries(data.tracks)) {
      this.rows.push({ name, slices: slicesOf(track, name.startsWith("array") ? "MACs" : "operations") });
    }
    for (const [name, track] of Object.entries(data.rooms)) {
      this.rows.push({ name: `room ${name}`, room: roomOf(track), size: track.size });
    }
    let top = 0;
    for (const row of this.rows) {
      Object.assign(row, { top, tall: row.room ? roomy : lane });
      top += row.tall + (row.room ? 6 : 3);
    }
    this.tall = top + axis;
    this.works = this.rows.flatMap((row) => (row.slices ?? []).filter((each) => each.what === "work"));
    this.works.sort((one, other) => one.start - other.start);
    this.chosen = null;
    this.bar(layers);
    this.listen();
    this.show(0, data.cycles);
  }
  bar(layers) {
    const bar = made("p", "", { className: "pick" });
    const press = (words, act) => {
      const button = made("button", words, { type: "button" });
      button.addEventListener("click", act);
      bar.append(button, " ");
    };
    press("zoom in", () => this.zoom(0.5));
    press("zoom out", () => this.zoom(2));
    press("whole run", () => this.show(0, this.data.cycles));
    press("tile before", () => this.step(-1));
    press("next tile", () => this.step(1));
    const choice = made("select", "");
    choice.setAttribute("aria-label", "layer to zoom to");
    choice.append(made("option", "a layer ...", { value: "" }));
    layers.forEach(({ name }, place) => choice.append(made("option", name, { value: place })));
    choice.addEventListener("change", () => {
      const layer = layers[choice.value];
      if (layer) this.show(layer.start, layer.end);
    });
    bar.append(choice);
    this.root.prepend(bar);
  }
  listen() {
    const canvas = this.canvas;
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = { x: event.offsetX, from: this.from, to: this.to };
    });
    addEventListener("pointerup", () => (held = null));
    canvas.addEventListener("pointermove", (event) => {
      if (held) {
        const moved = ((held.x - event.offsetX) * (held.to - held.from)) / this.plot;
        this.show(held.from + moved, held.to + moved);
      } else this.tell(this.at(event.offsetX, event.offsetY));
    });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.25, event.offsetX));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.shiftKey) return; // a page scrolls
        event.preventDefault();
        this.zoom((event.deltaY || event.deltaX) > 0 ? 1.4 : 1 / 1.4, event.offsetX);
      },
      { passive: false },
    );
    const span = () => (this.to - this.from) / 4;
    const keys = {
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2),
      ArrowLeft: () => this.show(this.from - span(), this.to - span()),
      ArrowRight: () => this.show(this.from + span(), this.to + span()),
      Home: () => this.show(0, this.data.cycles), n: () => this.step(1), p: () => this.step(-1),
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    this.table.addEventListener("toggle", () => this.list());
    for (const event of ["resize", "beforeprint"]) addEventListener(event, () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }
  get plot() {
    return Math.max(this.canvas.clientWidth - gutter - 8, 50);
  }
  x(cycle) {
    return gutter + ((cycle - this.from) / (this.to - this.from)) * this.plot;
  }
  show(from, to) {
    const cycles = Math.max(this.data.cycles, 1);
    const span = Math.min(Math.max(to - from, 8), cycles);
    this.from = Math.min(Math.max(from, 0), cycles - span);
    this.to = this.from + span;
    this.draw();
    this.list();
  }
  zoom(times, x = gutter + this.plot / 2) {
    const span = this.to - this.from;
    const share = Math.min(Math.max((x - gutter) / this.plot, 0), 1);
    const at = this.from + span * share;
    this.show(at - span * times * share, at + span * times * (1 - share));
  }
  step(way) {
    const works = this.works;
    if (!works.length) return;
    const now = works.indexOf(this.chosen);
    const first = Math.min(behind(works, this.from - 1, (one) => one.start), works.length - 1);
    const next = now < 0 ? first : Math.min(Math.max(now + way, 0), works.length - 1);
    this.chosen = works[next];
    const { start, end } = this.chosen;
    this.show(start - (end - start) * 1.5, end + (end - start) * 1.5);
    this.tell(this.chosen);
  }
  seen(row) {
    const first = Math.max(behind(row.slices, this.from, (one) => one.end), 0);
    return row.slices.slice(first, behind(row.slices, this.to, (one) => one.start));
  }
  at(x, y) {
    const row = this.rows.find((each) => y >= each.top && y < each.top + each.tall);
    if (!row || x < gutter) return null;
    const cycle = this.from + ((x - gutter) / this.plot) * (this.to - this.from);
    if (row.room) return { row, cycle };
    const near = (2 * (this.to - this.from)) / this.plot;
    return this.seen(row).find((one) => one.start - near <= cycle && cycle <= one.end + near) ?? null;
  }
  words(one) {
    const layer = this.data.layers[one.layer][0];
    const time = `cycles ${whole(one.start)} to ${whole(one.end)} (${whole(one.end - one.start)})`;
    if (one.what === "layer") return [layer, "", "whole layer", time, ""];
    const work = one.what === "work";
    const unit = work ? one.unit : "bytes";
    return [layer, `tile ${whole(one.tile)}`, one.what, time, `${whole(one.amount)} ${unit}`];
  }
  tell(one) {
    if (!one) return;
    if (one.row) {
      const place = behind(one.row.room, one.cycle, ([at]) => at) - 1;
      const taken = place < 0 ? 0 : one.row.room[place][1];
      const share = ((100 * taken) / one.row.size).toFixed(1);
      this.told.textContent = `${one.row.name}: tiles take ${whole(taken)} of ${whole(one.row.size)} bytes (${share} %) at cycle ${whole(one.cycle)}`;
    } else this.told.textContent = this.words(one).filter((each) => each).join(", ");
  }
  list() {
    if (!this.table.open) return;
    const rows = this.rows.filter((row) => row.slices && row.name !== "layers" && row.name);
    const found = rows.flatMap((row) => this.seen(row).map((one) => [row.name, ...this.words(one)]));
    const table = made("table", "");
    table.setAttribute("aria-label", "What the timeline shows");
    const line = (cells, kind) => {
      const row = document.createElement("tr");
      row.append(...cells.map((each) => made(kind, each, { className: "t" })));
      return row;
    };
    table.append(line(["on", "layer", "tile", "what", "when", "amount"], "th"));
    table.append(...found.slice(0, 200).map((each) => line(each, "td")));
    const more = found.length - 200;
    if (more > 0) table.append(line([`and ${whole(more)} more; zoom in`], "td"));
    this.table.querySelector("div").replaceChildren(table);
  }
  draw() {
    const canvas = this.canvas;
    const wide = canvas.clientWidth;
    if (!wide) return;
    const dense = window.devicePixelRatio || 1;
    canvas.style.height = `${this.tall}px`;
    canvas.width = wide * dense;
    canvas.height = this.tall * dense;
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colors = [0, 1, 2, 3, 4, 5, 6].map((each) => of(`c${each}`));
    this.inks = { soft: of("soft"), line: of("line"), card: of("card"), ink: of("ink"), page: of("page") };
    this.ticks(pen, wide);
    for (const row of this.rows) {
      pen.fillStyle = this.inks.soft;
      pen.fillText(row.name, 2, row.top + row.tall / 2, gutter - 8);
      if (row.room) this.area(pen, row);
      else this.bars(pen, row);
    }
  }
  ticks(pen, wide) {
    const rough = (this.to - this.from) / Math.max(2, Math.min(8, this.plot / 110));
    const unit = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
    const stride = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough) ?? unit;
    pen.textAlign = "center";
    for (let at = Math.ceil(this.from / stride) * stride; at <= this.to; at += stride) {
      pen.fillStyle = this.inks.line;
      pen.fillRect(this.x(at), 0, 1, this.tall - axis);
      pen.fillStyle = this.inks.soft;
      pen.fillText(whole(at), Math.min(this.x(at), wide - 30), this.tall - axis / 2);
    }
    pen.textAlign = "left";
    pen.fillText("cycle", 2, this.tall - axis / 2);
  }
  bars(pen, row) {
    let drawn = -1;
    for (const one of this.seen(row)) {
      const left = Math.max(this.x(one.start), gutter);
      const right = Math.min(Math.max(this.x(one.end), left + 0.5), gutter + this.plot);
      if (right - drawn < 0.5) continue;
      drawn = right;
      const lanes = row.name.startsWith("vector") ? 2 : hues[one.what];
      pen.fillStyle = this.colors[one.what === "layer" ? one.hue : lanes ?? 6];
      pen.fillRect(left, row.top, right - left, row.tall);
      if (right - left > 4) {
        pen.fillStyle = this.inks.card;
        pen.fillRect(right - 0.7, row.top, 0.7, row.tall);
      }
      if (one === this.chosen) {
        pen.strokeStyle = this.inks.ink;
        pen.lineWidth = 2;
        pen.strokeRect(left + 1, row.top + 1, right - left - 2, row.tall - 2);
      }
      this.name(pen, one, row, left, right);
    }
  }
  name(pen, one, row, left, right) {
    const layer = this.data.layers[one.layer][0];
    const said = one.what === "layer" ? layer : `${one.what === "work" ? layer : one.what} ${one.tile}`;
    if (right - left < 6.2 * said.length + 6) return;
    pen.fillStyle = "#fff";
    pen.fillText(said, left + 4, row.top + row.tall / 2);
  }
  area(pen, { room, size, top, tall }) {
    const first = Math.max(behind(room, this.from, ([at]) => at) - 1, 0);
    const scale = tall / size;
    let drawn = -1;
    pen.fillStyle = this.colors[6];
    for (let place = first; place < room.length && room[place][0] < this.to; place++) {
      const left = Math.max(this.x(room[place][0]), gutter);
      const right = Math.min(this.x(room[place + 1]?.[0] ?? this.data.cycles), gutter + this.plot);
      if (right - drawn < 0.5) continue;
      const begin = drawn > left - 0.5 && drawn > 0 ? drawn : left;
      drawn = right;
      pen.fillRect(begin, top + tall - room[place][1] * scale, right - begin, room[place][1] * scale);
    }
    pen.fillStyle = this.inks.line;
    pen.fillRect(gutter, top, this.plot, 1);
  }
}
for (const root of document.querySelectorAll(".tiles")) root.timeline = new Timeline(root);
