"use strict";
// A button in each head sorts its table, and a slider fades the heatmaps; without this script the page has neither.
const SORTED = "aria-sort";

const cellOf = (row, column) => {
  let end = 0;
  return [...row.cells].find((cell) => (end += cell.colSpan) > column);
};
const numberOf = (cell) => parseFloat(cell.textContent.replace("−", "-").replace(/[,<]/g, ""));

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute(SORTED) === "ascending" ? -1 : 1;
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => {
        const cell = cellOf(row, column);
        return { row, key: head.matches(".text") ? cell.textContent.trim() : numberOf(cell) };
      });
      // What is no number stays at the end, whichever way the others are sorted.
      rows.sort((a, b) => {
        if (typeof a.key === "string") return sign * a.key.localeCompare(b.key);
        return Number.isNaN(a.key) - Number.isNaN(b.key) || sign * (a.key - b.key) || 0;
      });
      body.append(...rows.map(({ row }) => row));
      for (const other of heads) other.removeAttribute(SORTED);
      head.setAttribute(SORTED, sign === 1 ? "ascending" : "descending");
    });
  });
}

for (const map of document.querySelectorAll(".pair .map")) {
  const bare = map.closest(".pair").querySelector(".bare");
  if (!bare) continue;
  const stack = document.createElement("span");
  const ground = bare.cloneNode();
  stack.className = "stack";
  ground.alt = "";
  map.replaceWith(stack);
  stack.append(ground, map);
}
const sliders = [...document.querySelectorAll(".fade input")];
for (const slider of sliders) {
  slider.closest(".fade").hidden = !slider.closest("section").querySelector(".stack");
  slider.addEventListener("input", () => {
    document.body.style.setProperty("--map", slider.value / 100);
    for (const each of sliders) {
      each.value = slider.value;
      each.closest(".fade").querySelector("output").textContent = `${slider.value}%`;
    }
  });
}
