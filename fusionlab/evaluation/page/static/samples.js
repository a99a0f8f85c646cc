// The samples of a set as cards, ordered by a metric, the worst first.
"use strict";
(() => {
  const { data, load, metricValues, imageURL, format, make } = fusionlabPage;
  const STEP = 48; // cards that are added at once
  const SOURCES = 3; // thumbnails of sources on a card

  // For each sample the value that counts, and the row it belongs to: the value itself, or its
  // difference from that of the row it is compared with.
  function worstValues(set, row, values, references, sign) {
    const rows = row < 0 ? data.sets[set].rows.map((_, number) => number) : [row];
    return Array.from({ length: data.sets[set].samples }, (_, sample) => {
      let worst = { sample, value: NaN, row: rows[0], against: references?.[rows[0]] };
      for (const number of rows) {
        const against = references?.[number];
        if (against === null) continue; // compared with no other row
        const value = values(number, sample) - (references ? values(against, sample) : 0);
        if (Number.isNaN(value)) continue;
        if (Number.isNaN(worst.value) || sign * value < sign * worst.value) {
          worst = { sample, value, row: number, against };
        }
      }
      return worst;
    });
  }

  function thumbnail(set, sample, name, text) {
    const url = imageURL(`thumbnails/${set}/${sample}-${name}.webp`);
    return make("img", { src: url, alt: text, loading: "lazy", decoding: "async" });
  }

  class Samples {
    constructor(element) {
      this.set = Number(element.dataset.set);
      this.list = element.querySelector(".cards");
      this.more = element.querySelector("[data-more]");
      this.status = element.querySelector("[data-status]");
      this.controls = Object.fromEntries(
        [...element.querySelectorAll("[data-order]")].map((select) => [select.dataset.order, select]),
      );
      this.controls.metric.value = data.sets[this.set].order;
      element.addEventListener("change", () => this.update());
      this.more.addEventListener("click", () => this.add());
      this.order = [];
    }

    // For each row the one it is compared with, or null; undefined to order by the values.
    get references() {
      return data.sets[this.set].comparisons[this.controls.by.value];
    }

    get metric() {
      const number = Number(this.controls.metric.value);
      return Number.isNaN(number) ? null : number;
    }

    async update() {
      const { metric } = this;
      const row = Number(this.controls.row.value);
      for (const name of ["by", "row", "end"]) this.controls[name].disabled = metric === null;
      this.entries = await load(`samples-${this.set}`);
      if (metric === null) {
        this.order = this.entries.map((_, sample) => ({ sample, value: NaN, row: Math.max(row, 0) }));
      } else {
        const values = await metricValues(this.set, metric);
        const end = this.controls.end.value === "worst" ? 1 : -1;
        const sign = end * (data.sets[this.set].metrics[metric].direction || 1);
        this.order = worstValues(this.set, row, values, this.references, sign);
        const last = (entry) => Number.isNaN(entry.value);
        this.order.sort((a, b) => last(a) - last(b) || sign * (a.value - b.value) || a.sample - b.sample);
      }
      const images = this.entries.filter((entry) => entry.size).length;
      this.pictures = images > 0;
      this.status.textContent = images === this.entries.length ? ""
        : `${images || "none"} of ${this.entries.length} with images`;
      this.list.replaceChildren();
      this.add();
    }

    add() {
      const start = this.list.children.length;
      this.order.slice(start, start + STEP).forEach((place, index) => {
        this.list.append(make("li", {}, this.card(place, start + index)));
      });
      this.more.hidden = this.list.children.length >= this.order.length;
    }

    card({ sample, value, row, against }, position) {
      const entry = this.entries[sample];
      const labels = data.sets[this.set].rows;
      const label = labels[row];
      const thumbs = make("span", { class: "thumbs" });
      (entry.sources ?? []).slice(0, SOURCES).forEach(([title], number) => {
        thumbs.append(thumbnail(this.set, sample, `s${number + 1}`, title));
      });
      for (const number of [row, against]) {
        if (entry.rows?.includes(number)) thumbs.append(thumbnail(this.set, sample, `r${number}`, labels[number]));
      }
      if (!entry.size && this.pictures) {
        thumbs.append(make("span", { class: "no-image" }, "not chosen for this page: values only"));
      }
      const name = make("span", { class: "card-name" }, entry.name);
      const card = make("button", { type: "button", class: "card" }, thumbs, name, " ");
      if (entry.problem) card.append(make("span", { class: "card-value worse" }, entry.problem), " ");
      if (!Number.isNaN(value)) {
        const { metric } = this;
        const plus = labels[against] !== undefined && value > 0 ? "+" : "";
        const text = `${data.sets[this.set].metrics[metric].name} ${plus}${format(this.set, metric, value)}`;
        card.append(make("span", { class: "card-value" }, text), " ");
        const names = labels[against] === undefined ? label : `${label} - ${labels[against]}`;
        card.append(make("span", { class: "card-row" }, names));
      }
      card.addEventListener("click", () => fusionlabPage.openViewer(this, position));
      return card;
    }
  }

  // Values and images are loaded when the samples come near to what is seen.
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      new Samples(target).update();
    }
  }, { rootMargin: "400px" });
  for (const element of document.querySelectorAll(".samples")) observer.observe(element);
})();
