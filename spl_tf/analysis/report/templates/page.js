"use strict";
// The page without the matrix: theme, motion, tips on charts, tables.
const page = (() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const changed = [];

  // A page from disk may have no storage.
  function remember(key, value) {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch (error) {
      return null;
    }
    return value;
  }

  function read(id) {
    const element = byId(id);
    return element ? JSON.parse(element.textContent) : null;
  }

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children); // strings become text, whatever they hold
    return made;
  }

  const tip = byId("tip");
  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(x + 14, 8), innerWidth - width - 8);
    const top = y + 18 + height > innerHeight ? y - height - 12 : y + 18;
    tip.style.transform = `translate(${left}px, ${Math.max(top, 8)}px)`;
  }
  function hideTip() {
    tip.hidden = true;
  }

  function startTheme() {
    const button = byId("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const show = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      changed.forEach((notify) => notify());
    };
    const stored = remember("spl-theme");
    if (stored === "dark" || stored === "light") root.dataset.theme = stored;
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember("spl-theme", root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  }

  function startMotion() {
    const button = byId("motion");
    const set = (on) => {
      root.dataset.motion = on ? "on" : "off";
      button.textContent = on ? "Pause clips" : "Play clips";
      button.setAttribute("aria-pressed", String(!on));
    };
    set(!matchMedia("(prefers-reduced-motion: reduce)").matches);
    button.hidden = !byId("pictures") && !document.querySelector(".film");
    button.addEventListener("click", () => set(root.dataset.motion === "off"));
  }

  const REACH = 30; // pixels from a point at which it is shown
  function startChart(figure, points) {
    const plot = figure.querySelector(".plot");
    const svg = plot.querySelector("svg");
    const spot = element("span", { class: "spot", hidden: "" });
    plot.append(spot);
    const leave = () => {
      spot.hidden = true;
      hideTip();
    };
    plot.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const scale = box.width / svg.viewBox.baseVal.width;
      let best = null;
      let nearest = REACH;
      for (const point of points) {
        const distance = Math.hypot(
          box.left + point[0] * scale - event.clientX,
          box.top + point[1] * scale - event.clientY,
        );
        if (distance < nearest) [nearest, best] = [distance, point];
      }
      if (!best) return leave();
      spot.hidden = false;
      spot.style.left = `${best[0] * scale}px`;
      spot.style.top = `${best[1] * scale}px`;
      showTip(best[2], event.clientX, event.clientY);
    });
    plot.addEventListener("pointerleave", leave);
  }

  function startTable(table) {
    const body = table.tBodies[0];
    const value = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      const text = cell.textContent.trim();
      return cell.classList.contains("number") ? Number(text.replace(/,/g, "")) : text;
    };
    const compare = (a, b) =>
      typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = element("button", { type: "button", class: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const rows = [...body.rows];
        rows.sort((a, b) => compare(value(a, column), value(b, column)) * (ascending ? 1 : -1));
        body.append(...rows);
      });
    });
  }

  // Tables that go on to the right fade out there.
  function startScroll(region) {
    const show = () => {
      const rest = region.scrollWidth - region.clientWidth - region.scrollLeft;
      region.classList.toggle("more", rest > 1);
    };
    region.addEventListener("scroll", show, { passive: true });
    new ResizeObserver(show).observe(region);
  }

  startTheme();
  startMotion();
  for (const [name, points] of Object.entries(read("points"))) {
    const figure = [...document.querySelectorAll(".chart")].find((f) => f.dataset.chart === name);
    if (figure && points.length) startChart(figure, points);
  }
  document.querySelectorAll("table.sortable").forEach(startTable);
  document.querySelectorAll(".scroll").forEach(startScroll);
  return { byId, read, element, showTip, hideTip, onTheme: (notify) => changed.push(notify) };
})();
