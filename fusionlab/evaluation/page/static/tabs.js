// The parts of the page: one is shown, the one that the address names.
"use strict";
(() => {
  const panels = [...document.querySelectorAll(".panel")];
  const links = [...document.querySelectorAll(".tabs a")];
  const first = fusionlabPage.data.sets.length > 1 ? "overview" : "set-0";

  function show() {
    const target = document.getElementById(location.hash.slice(1));
    const panel = target?.closest(".panel") ?? document.getElementById(first);
    for (const other of panels) other.hidden = other !== panel;
    for (const link of links) {
      if (link.hash === `#${panel.id}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (target instanceof HTMLDetailsElement) target.open = true;
    if (target && target !== panel) target.scrollIntoView();
    else window.scrollTo(0, 0);
  }

  window.addEventListener("hashchange", show);
  show();
})();
