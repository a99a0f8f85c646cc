// Small controls: menus that close when they are left, and selections of what is shown.
"use strict";
(() => {
  document.addEventListener("pointerdown", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("details.menu[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.preventDefault(); // a dialog around it stays open
    event.stopPropagation();
  }, true);
  for (const button of document.querySelectorAll("[data-all-ranks]")) {
    button.addEventListener("click", () => {
      for (const row of button.parentElement.querySelectorAll("li[hidden]")) row.hidden = false;
      button.hidden = true;
    });
  }
  for (const select of document.querySelectorAll("select[data-switch]")) {
    const parts = document.querySelectorAll(`[data-switch-of="${select.dataset.switch}"]`);
    const update = () => {
      for (const part of parts) part.hidden = part.dataset.value !== select.value;
    };
    select.addEventListener("change", update);
    update(); // browsers keep selections when a page is loaded again
  }
})();
