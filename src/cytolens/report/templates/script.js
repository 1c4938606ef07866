// Tables that say data-sort are sorted by a click on a header, and the slider that says data-fade
// fades the maps of its section. Without this the page is whole.
"use strict";
for (const table of document.querySelectorAll("table[data-sort]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        const numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
        const order = numbers ? x - y : x.localeCompare(y);
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
for (const fade of document.querySelectorAll("[data-fade]")) {
  const [slider, said] = [fade.querySelector("input"), fade.querySelector("output")];
  fade.hidden = false;
  slider.addEventListener("input", () => {
    fade.parentElement.style.setProperty("--fade", slider.value / 100);
    said.textContent = `${slider.value} %`;
  });
}
