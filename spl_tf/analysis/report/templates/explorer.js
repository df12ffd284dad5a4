// What a reader does with the matrix: point, choose a cell, see its clips.
(() => {
  if (!matrix) return;
  const { byId, element } = page;
  const { source, classes, size, weak, teacher, count, strategies, places, pictures } = matrix;
  const { state, canvas, number, draw, mark, moveView, reveal, cellAt, clamp } = matrix;
  const ROLE_TITLES = {
    diagonal: "query and teacher agree",
    own: "sub-pseudo label",
    query: "labelled as the query",
    teacher: "labelled as the teacher sees it",
    discarded: "discarded",
  };
  const percent = (value) => `${(100 * value).toFixed(value < 0.001 ? 3 : 1)}\u202f%`;

  function facts(w, t) {
    const i = places.get(w * size + t);
    const clips = i === undefined ? 0 : count[i];
    const strategy = strategies[state.strategy];
    const found = { clips, share: clips / Math.max(source.total, 1), label: null, role: null };
    if (i === undefined || !strategy) return found;
    found.role = source.roles[strategy.role[i]];
    const label = strategy.label[i];
    if (label >= 0) {
      const own = w === t ? classes[w] : `${classes[w]} ~ ${classes[t]}`;
      found.label = strategy.names ? strategy.names[label] : own;
      found.together = strategy.clips[label];
    }
    return found;
  }
  function labelText({ clips, label, role }) {
    if (!clips) return "no clips";
    return role === "discarded" ? "discarded" : label;
  }
  function labelTerm() {
    const strategy = strategies[state.strategy];
    return strategy && strategy.name.startsWith("spl") ? `${strategy.title} label` : "label";
  }

  function describe(w, t) {
    const found = facts(w, t);
    const lines = [`query: ${classes[w]}`, `teacher: ${classes[t]}`, `${number(found.clips)} clips`];
    if (found.role) lines.push(`${labelTerm()}: ${labelText(found)}`);
    return lines;
  }

  function film(cell, row, label) {
    const shown = element("div", {
      class: cell.height < 64 ? "film small" : "film",
      role: "img",
      "aria-label": label,
      title: label,
    });
    shown.style.setProperty("--ratio", `${cell.width} / ${cell.height}`);
    shown.style.setProperty("--frames", cell.frames);
    shown.style.setProperty("--clips", cell.clips.length);
    shown.style.setProperty("--row", row);
    shown.style.backgroundImage = `url(data:image/webp;base64,${cell.webp})`;
    return shown;
  }

  function showCell() {
    const target = byId("cell");
    target.replaceChildren();
    if (!state.chosen) return;
    const { w, t } = state.chosen;
    byId("pick-weak").value = w;
    byId("pick-teacher").value = t;
    const found = facts(w, t);
    const heading = element("h3");
    if (w === t) {
      heading.append(classes[w]);
    } else {
      heading.append(
        element("span", { class: "weak" }, classes[w]),
        " ~ ",
        element("span", { class: "teacher" }, classes[t]),
      );
    }
    const list = element("dl");
    const say = (term, text) => list.append(element("dt", {}, term), element("dd", {}, text));
    say("clips", `${number(found.clips)} (${percent(found.share)})`);
    if (found.role) {
      const together = found.label === null ? "" : `, ${number(found.together)} clips in all`;
      say(labelTerm(), `${labelText(found)}${together}`);
    }
    target.append(heading, list);
    const cell = pictures.get(w * size + t);
    if (cell) {
      const films = element("div", { class: "films" });
      cell.clips.forEach(([id, confidence], row) => {
        const figure = element("figure", {}, film(cell, row, id));
        if (confidence !== null) {
          figure.append(element("figcaption", {}, `teacher ${Math.round(100 * confidence)}\u202f%`));
        }
        films.append(figure);
      });
      const rest = found.clips - cell.clips.length;
      target.append(films);
      if (rest > 0) {
        const text = `${cell.clips.length} of ${number(found.clips)} clips`;
        target.append(element("p", { class: "note" }, text));
      }
    } else if (found.clips) {
      const text = "No clips of this cell were sampled for this page.";
      target.append(element("p", { class: "note" }, text));
    }
  }

  function choose(w, t, follow = true) {
    state.chosen = { w, t };
    state.cursor = { w, t };
    if (follow) reveal(w, t);
    showCell();
    mark();
  }

  let drag = null;
  function startPointer() {
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, view: state.view, moved: false };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drag && event.buttons) {
        const right = event.clientX - drag.x;
        const down = event.clientY - drag.y;
        if (Math.hypot(right, down) > 5) drag.moved = true;
        if (drag.moved && state.view.span < size) {
          page.hideTip();
          moveView(drag.view.x - right / matrix.cellSide(), drag.view.y - down / matrix.cellSide());
        }
        return;
      }
      if (event.pointerType === "touch") return;
      state.cursor = cellAt(event);
      mark();
      if (state.cursor) {
        const text = describe(state.cursor.w, state.cursor.t).join("\n");
        page.showTip(text, event.clientX, event.clientY);
      } else {
        page.hideTip();
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const moved = drag && drag.moved;
      drag = null;
      const at = moved ? null : cellAt(event);
      if (at) choose(at.w, at.t, false);
    });
    canvas.addEventListener("pointercancel", () => {
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => {
      page.hideTip();
      state.cursor = state.chosen;
      mark();
    });
  }

  function startKeys() {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      page.hideTip();
      const step = steps[event.key];
      const at = state.cursor || state.chosen || { w: 0, t: 0 };
      if (step) {
        const far = event.shiftKey ? 10 : 1;
        const w = clamp(at.w + step[0] * far, size - 1);
        const t = clamp(at.t + step[1] * far, size - 1);
        state.cursor = { w, t };
        reveal(w, t);
        byId("spoken").textContent = describe(w, t).join(", ");
      } else if (event.key === "Enter" || event.key === " ") {
        choose(at.w, at.t);
      } else if (event.key === "+" || event.key === "=") {
        matrix.zoom(1);
      } else if (event.key === "-") {
        matrix.zoom(-1);
      } else {
        return;
      }
      event.preventDefault();
    });
  }

  // ---- controls
  function showStrategy() {
    const strategy = strategies[state.strategy];
    document.querySelectorAll(".tabs button").forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === state.strategy));
      button.tabIndex = i === state.strategy ? 0 : -1;
    });
    const legend = document.querySelector(".roles");
    legend.replaceChildren();
    if (strategy) {
      const kept = `${number(strategy.labels)} labels, ${number(strategy.kept)} clips kept.`;
      byId("says").textContent = `${strategy.says} ${kept}`.trim();
      const used = new Set(strategy.role);
      source.roles.forEach((role, i) => {
        if (!used.has(i)) return;
        const box = element("span", { class: "box" });
        box.style.setProperty("--color", `var(${matrix.ROLE_COLORS[role]})`);
        legend.append(element("li", {}, box, ROLE_TITLES[role]));
      });
    }
    showCell();
    draw();
  }

  function startControls() {
    const tabs = document.querySelector(".tabs");
    strategies.forEach((strategy, i) => {
      const button = element("button", { type: "button", role: "radio" }, strategy.title);
      button.addEventListener("click", () => {
        state.strategy = i;
        showStrategy();
      });
      tabs.append(button);
    });
    tabs.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      state.strategy = (state.strategy + step + strategies.length) % strategies.length;
      showStrategy();
      tabs.children[state.strategy].focus();
      event.preventDefault();
    });
    for (const button of document.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => matrix.zoom(Number(button.dataset.zoom)));
    }
    for (const id of ["pick-weak", "pick-teacher"]) {
      classes.forEach((name, i) => byId(id).append(element("option", { value: i }, name)));
      byId(id).addEventListener("change", () =>
        choose(Number(byId("pick-weak").value), Number(byId("pick-teacher").value)),
      );
    }
    const list = document.querySelector(".top-cells");
    for (const i of source.top) {
      const name = element(
        "span",
        {},
        element("span", { class: "weak" }, classes[weak[i]]),
        " ~ ",
        element("span", { class: "teacher" }, classes[teacher[i]]),
      );
      const button = element("button", { type: "button" }, name, element("span", { class: "count" }, number(count[i])));
      button.addEventListener("click", () => choose(weak[i], teacher[i]));
      list.append(element("li", {}, button));
    }
    if (pictures.size < count.length) {
      byId("only").hidden = false;
      byId("only").querySelector("input").addEventListener("change", (event) => {
        state.only = event.target.checked;
        draw();
      });
    }
  }

  byId("explore").hidden = false;
  startControls();
  startPointer();
  startKeys();
  moveView(0, 0);
  const first = source.top.find((i) => pictures.has(weak[i] * size + teacher[i]));
  if (first !== undefined) choose(weak[first], teacher[first]);
  showStrategy();
  page.onTheme(draw);
  new ResizeObserver(draw).observe(canvas);
})();
