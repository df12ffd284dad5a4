// The confusion matrix: its data, its view and its picture.
//
// Drawn by hand on a canvas and not as the heat map of a chart library: 400 x 400 cells
// are recolored for every strategy and theme, zoomed, walked through by keys and pointed
// at, which is one loop over typed arrays here. Plotly would add 4.6 MB to the page and
// would want colors and texts of all cells anew for every strategy.
const matrix = (() => {
  const source = page.read("explorer");
  if (!source) return null;
  const { byId } = page;
  const canvas = byId("cells");
  const classes = source.classes;
  const size = classes.length;
  const weak = unpack(source.weak);
  const teacher = unpack(source.teacher);
  const count = unpack(source.count);
  const largest = count.length ? count[0] : 1;
  const strategies = source.strategies.map((entry) => ({
    ...entry,
    label: unpack(entry.label),
    role: unpack(entry.role),
    clips: unpack(entry.clips),
  }));
  const places = new Map();
  count.forEach((_, i) => places.set(weak[i] * size + teacher[i], i));
  const pictures = new Map();
  for (const cell of page.read("pictures")) pictures.set(cell.weak * size + cell.teacher, cell);

  const ROLE_COLORS = {
    diagonal: "--diagonal",
    own: "--off",
    query: "--weak",
    teacher: "--teacher",
    discarded: "--dropped",
  };
  const FEWEST = 6; // cells across at the closest zoom
  const state = {
    strategy: Math.max(strategies.findIndex((s) => s.name === "spl_b"), 0),
    cursor: null, // {w, t}: where pointer or keys are
    chosen: null,
    view: { x: 0, y: 0, span: size },
    only: false,
  };

  function unpack({ type, data }) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const Typed = { Int8: Int8Array, Int16: Int16Array, Int32: Int32Array }[type];
    return new Typed(bytes.buffer); // little-endian, as every browser's machine is
  }
  const number = (value) => value.toLocaleString("en");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- drawing
  const layer = document.createElement("canvas"); // the cells without outlines
  let layout = null;
  let stale = true;
  let queued = false;
  function draw() {
    stale = true;
    mark();
  }
  // For a cursor that moved.
  function mark() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      paint();
    });
  }

  function measure() {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    for (const target of [canvas, layer]) {
      target.width = Math.round(box.width * ratio);
      target.height = Math.round(box.height * ratio);
      target.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    const g = canvas.getContext("2d");
    const { span } = state.view;
    g.font = font(12);
    const named = (box.width * 0.75) / span >= 11;
    let margin = 22;
    if (named) {
      const shown = visible().map((i) => g.measureText(classes[i]).width);
      margin = Math.min(Math.max(...shown) + 14, box.width * 0.3);
    }
    const side = box.width - margin - 1;
    layout = { g, width: box.width, height: box.height, margin, side, cell: side / span, named };
  }
  const font = (pixels) => `${pixels}px ${getComputedStyle(document.body).fontFamily}`;
  function visible() {
    const { x, y, span } = state.view;
    const rows = range(Math.floor(y), Math.min(Math.ceil(y + span), size));
    return [...new Set([...rows, ...range(Math.floor(x), Math.min(Math.ceil(x + span), size))])];
  }
  const range = (start, end) => Array.from({ length: Math.max(end - start, 0) }, (_, i) => start + i);

  function paint() {
    if (stale) {
      measure();
      if (layout.width) drawCells(layer.getContext("2d"));
      stale = false;
    }
    const { g, width, height, margin, side } = layout;
    if (!width) return; // not shown, as in print
    g.clearRect(0, 0, width, height);
    g.drawImage(layer, 0, 0, width, height);
    g.save();
    g.beginPath();
    g.rect(margin, 0, side, side);
    g.clip();
    outline(state.cursor, color("--muted"), 1.5);
    outline(state.chosen, color("--ink"), 2.5);
    g.restore();
    writeAxes();
  }

  function drawCells(g) {
    const { width, height, margin, side, cell } = layout;
    const { x, y } = state.view;
    const strategy = strategies[state.strategy];
    const colors = source.roles.map((role) => color(ROLE_COLORS[role]));
    const ink = { dark: color("--ink"), light: color("--paper") };
    const drawn = Math.max(cell - (cell > 9 ? 1 : 0), 0.8);
    const top = Math.log(largest + 1);
    g.clearRect(0, 0, width, height);
    g.save();
    g.beginPath();
    g.rect(margin, 0, side, side);
    g.clip();
    g.fillStyle = color("--panel");
    g.fillRect(margin, 0, side, side);
    // The most frequent ones last, where cells are smaller than a pixel.
    for (let i = count.length - 1; i >= 0; i -= 1) {
      const left = margin + (teacher[i] - x) * cell;
      const above = (weak[i] - y) * cell;
      if (left > width || above > side || left + cell < margin || above + cell < 0) continue;
      const dim = state.only && !pictures.has(weak[i] * size + teacher[i]);
      const strength = 0.16 + (0.84 * Math.log(count[i] + 1)) / top;
      g.globalAlpha = dim ? 0.08 : strength;
      g.fillStyle = strategy ? colors[strategy.role[i]] : colors[weak[i] === teacher[i] ? 0 : 1];
      g.fillRect(left, above, drawn, drawn);
      if (cell > 26) {
        g.globalAlpha = dim ? 0.3 : 1;
        g.fillStyle = strength > 0.62 ? ink.light : ink.dark;
        writeCount(g, i, left + drawn / 2, above + drawn / 2, cell);
      }
    }
    g.restore();
  }

  function writeCount(g, i, x, y, cell) {
    g.font = font(Math.min(cell / 3.4, 12));
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.fillText(number(count[i]), x, y, cell - 4);
  }

  function outline(at, stroke, thick) {
    if (!at) return;
    const { g, margin, cell } = layout;
    const side = Math.max(cell, 7);
    const shift = (side - cell) / 2;
    g.strokeStyle = stroke;
    g.lineWidth = thick;
    g.strokeRect(
      margin + (at.t - state.view.x) * cell - shift,
      (at.w - state.view.y) * cell - shift,
      side,
      side,
    );
  }

  function writeAxes() {
    const { g, margin, side, cell, named, width, height } = layout;
    const { x, y, span } = state.view;
    g.font = font(Math.min(Math.max(cell * 0.42, 9.5), 12.5));
    if (named) {
      g.textBaseline = "middle";
      for (let i = Math.floor(y); i < Math.min(y + span, size); i += 1) {
        const middle = (i + 0.5 - y) * cell;
        if (middle < 0 || middle > side) continue;
        g.fillStyle = color(state.cursor && state.cursor.w === i ? "--weak" : "--muted");
        g.textAlign = "right";
        g.fillText(shortened(g, classes[i], margin - 8), margin - 7, middle);
      }
      for (let i = Math.floor(x); i < Math.min(x + span, size); i += 1) {
        const middle = margin + (i + 0.5 - x) * cell;
        if (middle < margin || middle > width) continue;
        g.fillStyle = color(state.cursor && state.cursor.t === i ? "--teacher" : "--muted");
        g.save();
        g.translate(middle, side + 7);
        g.rotate(-Math.PI / 2);
        g.textAlign = "right";
        g.fillText(shortened(g, classes[i], margin - 8), 0, 0);
        g.restore();
      }
    } else {
      g.font = font(12.5);
      g.textAlign = "center";
      g.textBaseline = "alphabetic";
      g.fillStyle = color("--teacher");
      g.fillText("what the teacher sees →", margin + side / 2, height - 5);
      g.fillStyle = color("--weak");
      g.save();
      g.translate(14, side / 2);
      g.rotate(-Math.PI / 2);
      g.fillText("← what the query was", 0, 0);
      g.restore();
    }
  }

  function shortened(g, text, room) {
    if (g.measureText(text).width <= room) return text;
    // In the middle: classes often differ in their last word only.
    const without = (kept) => `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
    let kept = text.length - 1;
    while (kept > 1 && g.measureText(without(kept)).width > room) kept -= 1;
    return without(kept);
  }

  // ---- the view
  function zoom(direction) {
    const { span, x, y } = state.view;
    const next = Math.min(Math.max(direction > 0 ? span / 2 : span * 2, Math.min(FEWEST, size)), size);
    const at = state.cursor || { w: y + span / 2, t: x + span / 2 };
    moveView(at.t + 0.5 - next / 2, at.w + 0.5 - next / 2, next);
  }
  function moveView(x, y, span = state.view.span) {
    const limit = size - span;
    state.view = { x: clamp(x, limit), y: clamp(y, limit), span };
    canvas.classList.toggle("zoomed", span < size);
    document.querySelector('[data-zoom="-1"]').disabled = span >= size;
    document.querySelector('[data-zoom="1"]').disabled = span <= Math.min(FEWEST, size);
    draw();
  }
  const clamp = (value, limit) => Math.min(Math.max(value, 0), Math.max(limit, 0));
  function reveal(w, t) {
    const { x, y, span } = state.view;
    const into = (start, at) => (at < start ? at : at + 1 > start + span ? at + 1 - span : start);
    const [left, top] = [into(x, t), into(y, w)];
    if (left === x && top === y) mark();
    else moveView(left, top);
  }

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const { margin, cell, side } = layout;
    const left = event.clientX - box.left - margin;
    const above = event.clientY - box.top;
    if (left < 0 || above < 0 || left >= side || above >= side) return null;
    const t = Math.floor(state.view.x + left / cell);
    const w = Math.floor(state.view.y + above / cell);
    return nearestFilled(w, t, cell);
  }
  // Cells smaller than a pointer: the largest one near it.
  function nearestFilled(w, t, cell) {
    if (cell >= 5) return { w, t };
    const reach = Math.ceil(2.5 / cell);
    let best = { w, t };
    let most = places.has(w * size + t) ? count[places.get(w * size + t)] : 0;
    for (let dw = -reach; dw <= reach && !most; dw += 1) {
      for (let dt = -reach; dt <= reach; dt += 1) {
        const inside = w + dw >= 0 && w + dw < size && t + dt >= 0 && t + dt < size;
        const i = inside ? places.get((w + dw) * size + t + dt) : undefined;
        if (i !== undefined && count[i] > most) {
          most = count[i];
          best = { w: w + dw, t: t + dt };
        }
      }
    }
    return best;
  }

  return {
    source, classes, size, weak, teacher, count, strategies, places, pictures, state, canvas,
    ROLE_COLORS, number, draw, mark, zoom, moveView, reveal, cellAt, clamp,
    cellSide: () => layout.cell,
  };
})();
