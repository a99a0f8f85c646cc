// One sample in a dialog: its images side by side, two in one place, their difference, all values.
"use strict";
(() => {
  const { data, metricValues, imageURL, format, make, wipe, difference, Zoom } = fusionlabPage;
  const MANY = 12; // more results are shown when they are chosen
  const dialog = document.getElementById("viewer");
  const part = (name) => dialog.querySelector(`[data-${name}]`);
  const stage = part("stage");
  const picks = [...dialog.querySelectorAll("[data-pick]")];
  const zoom = new Zoom((scale) => {
    part("scale").textContent = `${Math.round(scale * 100)} %`;
  });
  const state = { samples: null, position: 0, mode: "side", picked: ["", ""], shown: null, drawn: 0 };

  const place = () => state.samples.order[state.position];
  const entry = () => state.samples.entries[place().sample];
  const set = () => data.sets[state.samples.set];

  // What there is of the sample: sources, results, and weight maps.
  function images() {
    const { set: number } = state.samples;
    const { sample } = place();
    const path = (name, suffix = "png") => `images/${number}/${sample}-${name}.${suffix}`;
    const sources = (entry().sources ?? []).map(([title, file], i) => ({
      key: `s${i + 1}`, title, note: file, path: path(`s${i + 1}`),
    }));
    const firsts = [place().against, place().row]; // those that the card is about
    const rows = [...(entry().rows ?? [])].sort((a, b) => firsts.indexOf(b) - firsts.indexOf(a));
    const results = rows.flatMap((row) => {
      const maps = Array.from({ length: entry().weights[row] ?? 0 }, (_, i) => ({
        key: `r${row}-w${i + 1}`, title: `${set().rows[row]}: weights of ${entry().sources[i]?.[0] ?? `source ${i + 1}`}`, row,
        map: true, path: path(`r${row}-w${i + 1}`, "webp"),
      }));
      return [{ key: `r${row}`, title: set().rows[row], row, path: path(`r${row}`) }, ...maps];
    });
    return [...sources, ...results];
  }

  function layer(image) {
    const text = `${image.title}, sample ${entry().name}`;
    const [width, height] = entry().size;
    return make("img", {
      class: "layer", src: imageURL(image.path), alt: text, width, height, draggable: "false", decoding: "async",
    });
  }

  async function valuesOf(sample) {
    const all = await Promise.all(set().metrics.map((_, m) => metricValues(state.samples.set, m)));
    return (row) => all.map((values) => values(row, sample));
  }

  function valueList(values) {
    return make("dl", { class: "values" }, ...set().metrics.map((metric, m) => make(
      "div",
      { class: m === state.samples.metric ? "ordered" : false },
      make("dt", {}, metric.name),
      " ",
      make("dd", {}, format(state.samples.set, m, values[m])),
    )));
  }

  function isShown(image) {
    if (image.map) return part("maps").checked && isShown({ row: image.row, key: `r${image.row}` });
    return state.shown?.get(image.key) ?? (image.row === undefined || image.row < MANY || [place().row, place().against].includes(image.row));
  }

  function sideBySide(all, values) {
    const shown = all.filter(isShown);
    const figures = shown.map((image) => make(
      "figure",
      { class: image.row === place().row && !image.map ? "chosen" : false },
      make("div", { class: "pane", style: `aspect-ratio: ${entry().size[0]} / ${entry().size[1]}` }, layer(image)),
      make("figcaption", {}, make("span", { class: "pane-title" }, image.title)),
      ...(image.note ? [make("span", { class: "pane-note" }, image.note)] : []),
      ...(image.row === undefined || image.map ? [] : [valueList(values(image.row))]),
    ));
    return make("div", { class: "grid" }, ...figures);
  }

  function compared(all) {
    picks.forEach((select, index) => {
      select.replaceChildren(...all.map((image) => make("option", { value: image.key }, image.title)));
      const keys = all.map((image) => image.key);
      const fallback = `r${index === 0 ? place().against : place().row}`;
      const wanted = [state.picked[index], fallback, keys.at(index === 0 ? 0 : -1)];
      select.value = wanted.find((key) => keys.includes(key));
    });
    return picks.map((select) => all.find((image) => image.key === select.value));
  }

  function valueTable(values) {
    const heads = [make("th", { scope: "col" }, "method"), ...set().metrics.map((metric) => make(
      "th", { scope: "col", class: "number" }, `${metric.name}${[" ↓", "", " ↑"][metric.direction + 1]}`,
    ))];
    const rows = set().rows.map((label, row) => make(
      "tr",
      { class: row === place().row ? "chosen" : false },
      make("th", { scope: "row" }, label),
      ...values(row).map((value, m) => make("td", { class: "number" }, format(state.samples.set, m, value))),
    ));
    const head = make("tr", {}, ...heads);
    const table = make("table", { class: "scores" }, make("thead", {}, head), make("tbody", {}, ...rows));
    const note = make("p", { class: "note" }, `Marked: ${set().rows[place().row]}, which the card names.`);
    return make("div", {}, note, make("div", { class: "scroll" }, table));
  }

  function imageMenu(all) {
    part("shown").replaceChildren(...all.filter((image) => !image.map).map((image) => {
      const box = make("input", { type: "checkbox" });
      box.checked = isShown(image);
      box.addEventListener("change", () => {
        state.shown ??= new Map();
        state.shown.set(image.key, box.checked);
        draw();
      });
      return make("label", {}, box, ` ${image.title}`);
    }));
  }

  function content(all, values) {
    if (state.mode === "values" || !all.length) return valueTable(values);
    if (state.mode === "side") return sideBySide(all, values);
    const [first, second] = compared(all);
    const captions = make("div", { class: "captions" }, ...[first, second].map((image) => make(
      "div", {}, make("span", { class: "pane-title" }, image.title),
      ...(image.row === undefined ? [] : [valueList(values(image.row))]),
    )));
    const gain = Number(part("gain").value);
    const text = `difference of ${first.title} and ${second.title}, times ${gain}`;
    const pane = state.mode === "wipe"
      ? wipe(layer(first), layer(second))
      : make("div", { class: "pane large" }, difference(layer(first), layer(second), entry().size, gain, text));
    return make("div", { class: "compared" }, pane, captions);
  }

  async function draw() {
    const turn = ++state.drawn;
    const values = await valuesOf(place().sample);
    if (turn !== state.drawn) return; // another sample was asked for meanwhile
    const all = images();
    const { order } = state.samples;
    dialog.querySelector("h2").textContent = entry().name;
    part("place").textContent = `${state.position + 1} of ${order.length}`;
    for (const button of dialog.querySelectorAll("[data-step]")) {
      button.disabled = !order[state.position + Number(button.dataset.step)];
    }
    for (const element of dialog.querySelectorAll("[data-for]")) {
      element.hidden = !all.length || !element.dataset.for.split(" ").includes(state.mode);
    }
    part("weights").hidden ||= !all.some((image) => image.map);
    dialog.querySelector(".modes").hidden = !all.length;
    imageMenu(all);
    stage.replaceChildren(content(all, values));
    if (entry().size) {
      zoom.attach([...stage.querySelectorAll(".pane")], entry().size, state.mode !== "side");
    }
  }

  function setMode(mode) {
    state.mode = mode;
    dialog.querySelector(`[name=mode][value=${mode}]`).checked = true;
    draw();
  }

  function step(by) {
    if (!state.samples.order[state.position + by]) return;
    const { size } = entry();
    state.position += by;
    if (String(size) !== String(entry().size)) zoom.reset();
    draw();
  }

  const actions = {
    in: () => zoom.zoom(1.5), out: () => zoom.zoom(1 / 1.5), fit: () => zoom.set(null), one: () => zoom.set(1 / devicePixelRatio),
  };
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.fit, 1: actions.one,
    s: () => setMode("side"), w: () => setMode("wipe"), d: () => setMode("difference"), v: () => setMode("values"),
  };
  const pans = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

  document.addEventListener("keydown", (event) => {
    if (!dialog.open) return; // a button that is disabled loses the focus to the page
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
    if (target.matches("[type=radio]") && event.key.startsWith("Arrow")) return;
    if (event.shiftKey && event.key in pans) zoom.pan(...pans[event.key]);
    else if (event.key in keys) keys[event.key]();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.step) step(Number(button.dataset.step));
    else if (button?.dataset.zoom) actions[button.dataset.zoom]();
    else if (button && "close" in button.dataset) dialog.close();
  });
  for (const radio of dialog.querySelectorAll("[name=mode]")) {
    radio.addEventListener("change", () => setMode(radio.value));
  }
  picks.forEach((select, index) => select.addEventListener("change", () => {
    state.picked[index] = select.value;
    draw();
  }));
  for (const control of [part("gain"), part("maps")]) control.addEventListener("change", draw);
  dialog.addEventListener("close", () => stage.replaceChildren());
  window.addEventListener("resize", () => {
    if (dialog.open) zoom.apply();
  });

  fusionlabPage.openViewer = (samples, position) => {
    if (state.samples?.set !== samples.set) {
      state.shown = null;
      state.picked = ["", ""];
    }
    Object.assign(state, { samples, position });
    zoom.reset();
    dialog.showModal();
    dialog.querySelector("h2").focus();
    draw();
  };
})();
