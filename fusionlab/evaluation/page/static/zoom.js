// Zoom and pan that all images of a sample share.
"use strict";
fusionlabPage.Zoom = class {
  constructor(onChange) {
    this.onChange = onChange;
    this.panes = [];
    this.size = [1, 1];
    this.reset();
  }

  // `scale`: pixels of the screen for a pixel of the image, null to fit; `center`: 0..1 of the image.
  reset() {
    this.scale = null;
    this.center = [0.5, 0.5];
  }

  // Take over panes, elements around one or more `.layer`s, for images of a size.
  attach(panes, size, wheelZooms) {
    this.panes = panes;
    this.size = size;
    for (const pane of panes) this.listen(pane, wheelZooms);
    this.apply();
  }

  fit(pane) {
    return Math.min(pane.clientWidth / this.size[0], pane.clientHeight / this.size[1]);
  }

  current() {
    return this.scale ?? (this.panes.length ? this.fit(this.panes[0]) : 1);
  }

  apply() {
    for (const pane of this.panes) {
      const scale = this.scale ?? this.fit(pane);
      const place = [0, 1].map((axis) => {
        const room = axis === 0 ? pane.clientWidth : pane.clientHeight;
        const length = this.size[axis] * scale;
        if (length <= room) return (room - length) / 2; // smaller than the pane: in its middle
        return Math.min(0, Math.max(room - length, room / 2 - this.center[axis] * length));
      });
      for (const layer of pane.querySelectorAll(".layer")) {
        layer.style.transform = `translate(${place[0]}px, ${place[1]}px) scale(${scale})`;
        layer.classList.toggle("pixelated", scale * devicePixelRatio > 1);
      }
    }
    this.onChange(this.current());
  }

  // Zoom by a factor; the place of the image under `point` of a pane stays where it is.
  zoom(factor, pane = this.panes[0], point = null) {
    const before = this.scale ?? this.fit(pane);
    const after = Math.min(64, Math.max(this.fit(pane), before * factor));
    if (point) {
      const room = [pane.clientWidth, pane.clientHeight];
      this.center = this.center.map((center, axis) => {
        const offset = point[axis] - room[axis] / 2;
        const held = before * this.size[axis] <= room[axis] ? 0.5 : center;
        return held + offset / this.size[axis] * (1 / before - 1 / after);
      });
    }
    this.scale = after <= this.fit(pane) ? null : after;
    this.hold(pane);
    this.apply();
  }

  set(scale) {
    this.scale = scale;
    if (scale === null) this.center = [0.5, 0.5];
    this.apply();
  }

  // Move by pixels of the screen.
  pan(dx, dy, pane = this.panes[0]) {
    const scale = this.current();
    this.center = [this.center[0] - dx / scale / this.size[0], this.center[1] - dy / scale / this.size[1]];
    this.hold(pane);
    this.apply();
  }

  // Keep the center where it has an effect.
  hold(pane) {
    const scale = this.scale ?? this.fit(pane);
    const room = [pane.clientWidth, pane.clientHeight];
    this.center = this.center.map((center, axis) => {
      const half = Math.min(0.5, room[axis] / 2 / (this.size[axis] * scale));
      return Math.min(1 - half, Math.max(half, center));
    });
  }

  listen(pane, wheelZooms) {
    pane.addEventListener("wheel", (event) => {
      if (!(wheelZooms || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      const box = pane.getBoundingClientRect();
      this.zoom(1.0015 ** -event.deltaY, pane, [event.clientX - box.left, event.clientY - box.top]);
    }, { passive: false });
    pane.addEventListener("dblclick", (event) => {
      const box = pane.getBoundingClientRect();
      this.zoom(2, pane, [event.clientX - box.left, event.clientY - box.top]);
    });
    pane.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest(".handle")) return;
      pane.setPointerCapture(event.pointerId);
      pane.classList.add("dragged");
    });
    pane.addEventListener("pointermove", (event) => {
      if (pane.classList.contains("dragged")) this.pan(event.movementX, event.movementY, pane);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      pane.addEventListener(name, () => pane.classList.remove("dragged"));
    }
  }
};
