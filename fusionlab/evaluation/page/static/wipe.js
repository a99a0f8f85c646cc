// Two images in one place: left of the handle the first is seen, right of it the second.
"use strict";
fusionlabPage.wipe = (first, second) => {
  const { make } = fusionlabPage;
  const top = make("div", { class: "wipe-top" }, second);
  const handle = make("div", {
    class: "handle",
    role: "slider",
    tabindex: "0",
    "aria-label": "Where the first image ends",
    "aria-valuemin": "0",
    "aria-valuemax": "100",
  });
  const pane = make("div", { class: "pane large" }, first, top, handle);

  function move(percent) {
    const place = Math.min(100, Math.max(0, percent));
    top.style.clipPath = `inset(0 0 0 ${place}%)`;
    handle.style.left = `${place}%`;
    handle.setAttribute("aria-valuenow", Math.round(place));
  }

  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const box = pane.getBoundingClientRect();
    move((event.clientX - box.left) / box.width * 100);
  });
  handle.addEventListener("keydown", (event) => {
    const now = Number(handle.getAttribute("aria-valuenow"));
    const step = event.shiftKey ? 10 : 1;
    const targets = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: 100 };
    if (!(event.key in targets)) return;
    move(targets[event.key]);
    event.preventDefault();
    event.stopPropagation(); // elsewhere the arrows step through the samples
  });
  move(50);
  return pane;
};
