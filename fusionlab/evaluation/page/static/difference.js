// The absolute difference of two images, amplified. The pixels of a page from the disk cannot be
// read by a script, so the drawing operations of the canvas compute it.
"use strict";
fusionlabPage.difference = (first, second, size, gain, text) => {
  const canvas = fusionlabPage.make("canvas", {
    width: size[0],
    height: size[1],
    class: "layer",
    role: "img",
    "aria-label": text,
  });
  const context = canvas.getContext("2d");
  Promise.all([first.decode(), second.decode()]).then(() => {
    context.drawImage(first, 0, 0);
    context.globalCompositeOperation = "difference";
    context.drawImage(second, 0, 0);
    context.globalCompositeOperation = "lighter"; // adds, and stops at white
    for (let times = 1; times < gain; times *= 2) context.drawImage(canvas, 0, 0);
    canvas.dataset.drawn = "true";
  }, () => {});
  return canvas;
};
