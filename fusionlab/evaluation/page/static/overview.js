// The table over all sets: mean ranks, or the means of one metric.
"use strict";
(() => {
  const select = document.getElementById("overview-metric");
  if (!select) return;
  const { data, format } = fusionlabPage;
  const table = document.getElementById("overview-table");
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells];
  const ranks = rows.map((row) => [...row.cells].map((cell) => [cell.textContent, cell.dataset.value]));
  const numbers = data.sets.map((set) => new Map(set.rows.map((label, number) => [label, number])));

  function showMetric(name) {
    data.sets.forEach((set, index) => {
      const metric = set.metrics.findIndex((entry) => entry.name === name);
      heads[index + 1].dataset.direction = metric < 0 ? 0 : set.metrics[metric].direction;
      for (const row of rows) {
        const number = numbers[index].get(row.dataset.label);
        const value = number === undefined || metric < 0 ? null : set.means[number][metric];
        const cell = row.cells[index + 1];
        cell.textContent = value === null ? "–" : format(index, metric, value);
        cell.dataset.value = value ?? "";
      }
    });
  }

  function showRanks() {
    rows.forEach((row, i) => [...row.cells].forEach((cell, j) => {
      if (j > 0) [cell.textContent, cell.dataset.value] = ranks[i][j];
    }));
    for (const head of heads.slice(1)) head.dataset.direction = -1;
  }

  function update() {
    if (select.value) showMetric(select.value);
    else showRanks();
    for (const row of table.rows) row.cells[heads.length - 1].hidden = select.value !== "";
  }
  select.addEventListener("change", update);
  update();
})();
