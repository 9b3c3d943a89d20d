"use strict";
// Sort a table by a column: numbers by their full value, text in natural order; a second press turns the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column];
        return { row, text: cell.dataset.value ?? cell.textContent };
      });
      const compare = (a, b) => {
        const [x, y] = [Number(a.text), Number(b.text)];
        const [lostX, lostY] = [a.text === "nan" || a.text === "", b.text === "nan" || b.text === ""];
        if (lostX || lostY) return lostX - lostY; // what is missing stays at the end
        const order = Number.isNaN(x) || Number.isNaN(y) ? a.text.localeCompare(b.text, "en", { numeric: true }) : x - y;
        return descending ? -order : order;
      };
      body.append(...keyed.sort(compare).map((item) => item.row));
    });
  });
}
// Paper cannot be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => { folded.forEach((part) => { part.open = false; }); });
