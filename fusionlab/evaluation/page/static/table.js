// Tables: sorted by a click on a head, rows filtered, columns hidden.
"use strict";
(() => {
  const { make } = fusionlabPage;

  function keyOf(cell) {
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number.parseFloat(text);
    return { text, number };
  }

  // Rows without a value are last, in either direction.
  function compare(first, second, numeric, sign) {
    if (!numeric) return sign * first.text.localeCompare(second.text, undefined, { numeric: true });
    const missing = Number.isNaN(first.number) - Number.isNaN(second.number);
    return missing || sign * (first.number - second.number);
  }

  // Of a long table, the first rows that fit the filters, in the order in which they are sorted.
  function showFirst(table) {
    let room = Number(table.dataset.shown ?? Infinity);
    for (const row of table.tBodies[0].rows) {
      row.classList.toggle("beyond", !row.hidden && room <= 0);
      room -= !row.hidden;
    }
    const rest = -room;
    const button = table.closest(".scroll")?.parentElement.querySelector(`[data-all-of="${table.id}"]`);
    if (button) {
      button.hidden = rest <= 0;
      button.textContent = `Show ${rest} more rows`;
    }
  }

  function addButtonForAll(table) {
    if (!(table.tBodies[0].rows.length > table.dataset.shown)) return;
    const button = make("button", { type: "button", class: "plain all", "data-all-of": table.id });
    button.addEventListener("click", () => {
      delete table.dataset.shown;
      showFirst(table);
    });
    table.closest(".scroll").after(button);
    showFirst(table);
  }

  function makeSortable(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // the best first, then the worst first, then the order of the study
        const higher = Number(head.dataset.direction) > 0;
        const orders = higher ? ["descending", "ascending", null] : ["ascending", "descending", null];
        const next = orders[(orders.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next === null) {
          body.append(...original);
          showFirst(table);
          return;
        }
        head.setAttribute("aria-sort", next);
        const rows = original.map((row) => ({ row, key: keyOf(row.cells[column]) }));
        const given = rows.filter(({ key }) => key.text !== "" && key.text !== "–");
        const numeric = given.every(({ key }) => !Number.isNaN(key.number));
        const sign = next === "ascending" ? 1 : -1;
        rows.sort((a, b) => compare(a.key, b.key, numeric, sign));
        body.append(...rows.map(({ row }) => row));
        showFirst(table);
      });
    });
  }

  function addColumnMenu(menu, table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (column === 0) return;
      const box = make("input", { type: "checkbox" });
      box.checked = head.dataset.kind !== "factor"; // the names of the rows hold the factors
      const update = () => {
        for (const row of table.rows) row.cells[column].hidden = !box.checked;
      };
      box.addEventListener("change", update);
      update();
      menu.append(make("label", {}, box, ` ${head.textContent.trim()}`));
    });
  }

  function addFilters(controls, table) {
    const rows = [...table.tBodies[0].rows].map((row) => ({
      row,
      name: row.cells[0].textContent.toLowerCase(),
      factors: JSON.parse(row.dataset.factors),
    }));
    const search = controls.querySelector("[data-search]");
    const status = controls.querySelector("[data-status]");
    const fieldsets = [...controls.querySelectorAll("[data-factor]")];
    const update = () => {
      const allowed = fieldsets.map((fieldset) => [
        fieldset.dataset.factor,
        new Set([...fieldset.querySelectorAll("input:checked")].map((box) => box.value)),
      ]);
      const words = search.value.toLowerCase();
      let shown = 0;
      for (const { row, name, factors } of rows) {
        const fits = allowed.every(([factor, values]) => values.has(factors[factor]));
        row.hidden = !(fits && name.includes(words));
        shown += !row.hidden;
      }
      showFirst(table);
      status.textContent = shown < rows.length ? `${shown} of ${rows.length} methods` : "";
    };
    controls.addEventListener("input", update);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    makeSortable(table);
    addButtonForAll(table);
  }
  for (const controls of document.querySelectorAll("[data-table]")) {
    const table = document.getElementById(controls.dataset.table);
    addColumnMenu(controls.querySelector("[data-columns]"), table);
    addFilters(controls, table);
    const detail = controls.querySelector("select[data-detail]");
    const update = () => {
      for (const part of table.querySelectorAll(".detail")) {
        part.hidden = part.dataset.kind !== detail.value;
      }
    };
    detail.addEventListener("change", update);
    update(); // browsers keep selections when a page is loaded again
  }
})();
