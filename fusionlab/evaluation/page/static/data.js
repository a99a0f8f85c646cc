// The data of the page: what is part of it, and what is loaded on demand.
"use strict";
window.fusionlabPage = (() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const loads = new Map(); // name of a chunk -> promise of its content
  const waiting = new Map(); // name -> function that takes the content
  const inlined = new Map(); // name -> content, of chunks that are part of the page

  function receive(name, content) {
    waiting.get(name)(content);
    waiting.delete(name);
  }

  function inlinedChunk(name) {
    if (!inlined.has(name)) {
      const element = document.getElementById(`chunk-${name}`);
      inlined.set(name, element && JSON.parse(element.textContent));
    }
    return inlined.get(name);
  }

  function load(name) {
    if (!loads.has(name)) {
      loads.set(name, new Promise((resolve, reject) => {
        const content = inlinedChunk(name);
        if (content !== null) {
          resolve(content);
          return;
        }
        waiting.set(name, resolve);
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onerror = () => reject(new Error(`data/${name}.js is missing`));
        document.head.append(script);
      }));
    }
    return loads.get(name);
  }

  function fromBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const characters = atob(text);
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = characters.charCodeAt(i);
    return bytes;
  }

  // The values of a metric in a set: a function of the numbers of row and sample; NaN for none.
  async function values(set, metric) {
    const text = await load(`values-${set}-${metric}`);
    const count = data.sets[set].rows.length * data.sets[set].samples;
    const bytes = fromBase64(text);
    const Numbers = bytes.length === 4 * count ? Float32Array : Float64Array;
    const numbers = new Numbers(bytes.buffer);
    return (row, sample) => numbers[row * data.sets[set].samples + sample];
  }
  const decoded = new Map();
  function metricValues(set, metric) {
    const key = `${set}-${metric}`;
    if (!decoded.has(key)) decoded.set(key, values(set, metric));
    return decoded.get(key);
  }

  function imageURL(path) {
    if (!data.single) return path;
    const [folder, set, file] = path.split("/");
    const sample = folder === "images" ? `-${file.split("-")[0]}` : "";
    return inlinedChunk(`${folder}-${set}${sample}`)[path];
  }

  function format(set, metric, value) {
    return Number.isNaN(value) ? "–" : value.toFixed(data.sets[set].metrics[metric].decimals);
  }

  // An element with attributes and children; texts stay texts, whatever they hold.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  return { data, receive, load, metricValues, imageURL, format, make };
})();
