"use strict";
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});
const valueOf = (cell) => cell.dataset.v ?? cell.textContent;
const compare = (a, b) => {
  const [x, y] = [Number(a), Number(b)];
  return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
};
for (const table of document.querySelectorAll("table")) {
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, at) => title.firstChild.addEventListener("click", () => {
    const first = table.tBodies[0].rows[0]?.cells[at];
    const before = title.getAttribute("aria-sort");
    // Figures begin with the largest, as people ask for it.
    const numbers = first?.classList.contains("number");
    const down = before ? before === "ascending" : numbers;
    titles.forEach((one) => one.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a.cells[at]), valueOf(b.cells[at])) * (down ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
  const field = table.closest(".table").querySelector("input");
  field?.addEventListener("input", () => {
    const word = field.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(word);
  });
}
const models = [...document.querySelectorAll("svg .model")];
models[0]?.setAttribute("tabindex", "0");
models.forEach((model, at) => model.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = event.key === "Home" ? models[0] : event.key === "End" ? models.at(-1) : step && models[at + step];
  if (!next) return;
  event.preventDefault();
  model.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}));
