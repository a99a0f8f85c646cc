// Light and dark: as the system says, until the button is used.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const storage = (() => {
    try {
      return window.localStorage;
    } catch {
      return null; // forbidden by the settings of the browser
    }
  })();
  const chosen = storage?.getItem("fusionlab-theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  document.getElementById("theme").addEventListener("click", () => {
    const current = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = current === "dark" ? "light" : "dark";
    storage?.setItem("fusionlab-theme", root.dataset.theme);
  });
})();
