// Draws the curves of a run with uPlot: zoom, smoothing, logarithmic axis, steps or epochs, and its edits as marks.
// The curves come from the server, or from the page itself where that stands alone.
"use strict";

(() => {
  const holder = document.getElementById("charts");
  if (!holder) return;

  const embedded = document.getElementById("curves");
  const { source, exact } = holder.dataset;
  const control = (id) => document.getElementById(id);
  const controls = {
    axis: control("axis"),
    smoothing: control("smoothing"),
    logarithmic: control("logarithmic"),
    only: control("only"),
  };
  const HEIGHT = 230;
  // Told apart by those who see few colours (Okabe and Ito), dark enough on white and light enough on black.
  const COLOURS = ["#2a78c8", "#c8502a", "#1f8a63", "#a8690a", "#a0568f", "#4d7d8c", "#8a5cd6", "#7a7a1e"];
  let drawing = { charts: [], epochs: [], marks: [] };
  const views = new Map();

  // ---- the axis ----

  // Between two complete epochs the axis of epochs is straight.
  function along(pairs, value) {
    if (pairs.length === 0) return value;
    let low = 0;
    let high = pairs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[middle][0] < value) low = middle + 1;
      else high = middle;
    }
    const first = low === 0 ? [0, 0] : pairs[Math.min(low, pairs.length - 1) - 1] ?? [0, 0];
    const second = pairs[Math.min(low, pairs.length - 1)];
    const width = second[0] - first[0];
    return width === 0 ? second[1] : first[1] + ((value - first[0]) / width) * (second[1] - first[1]);
  }
  const byEpoch = () => controls.axis.value === "epoch";
  const place = (step) => (byEpoch() ? along(drawing.epochs, step) : step);
  const stepAt = (x) => (byEpoch() ? along(drawing.epochs.map(([step, epoch]) => [epoch, step]), x) : x);

  // ---- the values ----

  // An exponential mean that does not lean to its first value.
  function smoothed(values, weight) {
    let mean = 0;
    let sum = 0;
    return values.map((value) => {
      if (value === null || value === undefined) return value;
      mean = mean * weight + value * (1 - weight);
      sum = sum * weight + (1 - weight);
      return mean / sum;
    });
  }

  function aligned(series) {
    const log = controls.logarithmic.checked;
    const drawn = (value) => (log && value !== null && value <= 0 ? null : value);
    const ends = (one) => (one.low.length > 0 ? [one.low.map(drawn), one.high.map(drawn)] : []);
    const tables = series.map((one) => [one.steps.map(place), one.values.map(drawn), ...ends(one)]);
    const weight = Number(controls.smoothing.value);
    if (tables.length === 0) return [[]];
    const joined = uPlot.join(tables);
    if (weight === 0) return joined;
    return [...joined, ...joined.slice(1).map((values) => smoothed(values, weight))];
  }

  const digits = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(2);
    return size >= 1000 ? value.toFixed(1) : value.toPrecision(4);
  };

  // ---- a picture ----

  function colours() {
    const style = getComputedStyle(document.body);
    const of = (name) => style.getPropertyValue(name).trim();
    return { text: of("--text"), grid: of("--line"), mark: of("--mark"), undone: of("--bad") };
  }

  function options(chart, width, ink) {
    const smooth = Number(controls.smoothing.value) > 0;
    const line = (one, at, extra) => ({
      label: one.label,
      stroke: COLOURS[at % COLOURS.length],
      width: 1.5,
      dash: at >= COLOURS.length ? [6, 3] : undefined,
      value: (_, value) => digits(value),
      points: { show: one.steps.length < 2 ? true : undefined, size: 5 },
      ...extra,
    });
    // The ends of an interval are lines that are not drawn; what is between them is.
    const lines = (extra, label) =>
      chart.series.flatMap((one, at) => {
        const end = (name) => line(one, at, { label: `${one.label}, ${name}`, width: 0, points: { show: false }, class: "edge", edge: name });
        const middle = line(one, at, { ...extra, label: label(one.label) });
        return one.low.length > 0 ? [middle, end("low"), end("high")] : [middle];
      });
    const raw = smooth ? lines({ alpha: 0.3 }, (label) => `${label}, as measured`) : lines({}, (label) => label);
    const means = smooth ? lines({ width: 2 }, (label) => label) : [];
    const all = [...raw, ...means];
    const bands = all.flatMap((one, at) =>
      one.edge === "high" ? [{ series: [at + 1, at], fill: `${one.stroke}33` }] : [],
    );
    const axis = { stroke: ink.text, grid: { stroke: ink.grid, width: 1 }, ticks: { stroke: ink.grid, width: 1 } };
    return {
      width,
      height: HEIGHT,
      cursor: { sync: { key: "curves" }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { distr: controls.logarithmic.checked ? 3 : 1 } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : Number(tick.toPrecision(6)).toString())) },
      ],
      series: [{ label: byEpoch() ? "epoch" : "step", value: (_, x) => (x === null ? "–" : Number(x.toFixed(2)).toLocaleString("en")) }, ...all],
      bands,
      hooks: { draw: [drawMarks], setScale: [(plot, key) => key === "x" && zoomed(chart.id, plot)] },
    };
  }

  function drawMarks(plot) {
    const view = [...views.values()].find((one) => one.plot === plot);
    const ink = colours();
    const { left, top, width, height } = plot.bbox;
    for (const [at, mark] of drawing.marks.entries()) {
      const x = plot.valToPos(place(mark.step), "x", true);
      const inside = x >= left - 1 && x <= left + width + 1;
      if (inside) {
        plot.ctx.save();
        plot.ctx.strokeStyle = mark.undone ? ink.undone : ink.mark;
        plot.ctx.setLineDash([4, 3]);
        plot.ctx.beginPath();
        plot.ctx.moveTo(x, top);
        plot.ctx.lineTo(x, top + height);
        plot.ctx.stroke();
        plot.ctx.restore();
      }
      const button = view?.marks.children[at];
      if (button) {
        button.hidden = !inside;
        button.style.left = `${x / devicePixelRatio}px`;
      }
    }
  }

  function markButtons(first) {
    const row = document.createElement("div");
    row.className = "marks";
    for (const mark of drawing.marks) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = mark.label;
      button.title = `epoch ${mark.epoch + 1}, step ${mark.step}`;
      button.className = mark.undone ? "undone" : "";
      // One row is enough for the keyboard.
      if (!first) button.tabIndex = -1;
      button.addEventListener("click", () => showEdits(mark.edits));
      row.append(button);
    }
    return row;
  }

  function showEdits(numbers) {
    const shown = document.getElementById("edit-shown");
    const copies = numbers.map((number) => document.getElementById(`edit-${number}`)?.cloneNode(true)).filter(Boolean);
    for (const copy of copies) {
      copy.removeAttribute("id");
      copy.open = true;
    }
    shown.replaceChildren(...copies);
    document.getElementById("edit-dialog").showModal();
  }

  // ---- zoom: what was thinned is asked for again, exactly ----

  function isZoomed(plot) {
    const { min, max } = plot.scales.x;
    const xs = plot.data[0];
    // Before it was drawn for the first time it has no ends.
    return Number.isFinite(min) && Number.isFinite(max) && (min > xs[0] || max < xs[xs.length - 1]);
  }

  const waiting = new Map();
  function zoomed(id, plot) {
    const view = views.get(id);
    if (!view || view.plot !== plot || exact === undefined || view.chart.series.every((one) => one.whole)) return;
    if (!isZoomed(plot)) return;
    const { min, max } = plot.scales.x;
    const [from, to] = [Math.max(0, Math.floor(stepAt(min))), Math.ceil(stepAt(max))];
    if (view.from === from && view.to === to) return;
    [view.from, view.to] = [from, to];
    clearTimeout(waiting.get(id));
    waiting.set(id, setTimeout(() => refine(id, from, to), 120));
  }

  async function refine(id, from, to) {
    const view = views.get(id);
    const words = new URLSearchParams({ chart: id, from, to });
    const answer = await fetch(`${source}&${words}`).catch(() => null);
    if (!answer?.ok || !view || view.from !== from || view.to !== to) return;
    const part = await answer.json();
    const merged = view.chart.series.map((one, at) => {
      const fine = part.series[at];
      if (!fine || fine.label !== one.label || fine.steps.length === 0) return one;
      const [begin, end] = [fine.steps[0], fine.steps[fine.steps.length - 1]];
      const before = one.steps.findIndex((step) => step >= begin);
      const after = one.steps.findIndex((step) => step > end);
      const join = (coarse, exact) => [
        ...coarse.slice(0, before < 0 ? coarse.length : before),
        ...exact,
        ...(after < 0 ? [] : coarse.slice(after)),
      ];
      return { ...one, steps: join(one.steps, fine.steps), values: join(one.values, fine.values) };
    });
    view.plot.setData(aligned(merged), false);
    view.plot.redraw(true);
  }

  // ---- all pictures ----

  function figure(chart) {
    const box = document.createElement("figure");
    box.dataset.chart = chart.title;
    const caption = document.createElement("figcaption");
    caption.textContent = chart.title + (chart.better ? ` (${chart.better})` : "");
    if (chart.left_out > 0) caption.textContent += `, without ${chart.left_out} more curves`;
    box.append(caption);
    return box;
  }

  function draw(stay = true) {
    const zoom = new Map([...views].filter(([, { plot }]) => stay && isZoomed(plot)).map(([id, { plot }]) => [id, { ...plot.scales.x }]));
    const ink = colours();
    views.forEach((view) => view.plot.destroy());
    views.clear();
    const figures = drawing.charts.map((chart, at) => {
      const box = figure(chart);
      const marks = markButtons(at === 0);
      box.append(marks);
      views.set(chart.id, { chart, box, marks });
      return box;
    });
    holder.replaceChildren(...figures);
    for (const [id, view] of views) {
      const plot = new uPlot(options(view.chart, view.box.clientWidth, ink), aligned(view.chart.series), view.box);
      // It draws itself once this is done, and its marks want to be found then.
      view.plot = plot;
      const old = zoom.get(id);
      // Who had zoomed in stays there.
      if (old) plot.setScale("x", { min: old.min, max: old.max });
    }
    only();
  }

  function only() {
    const word = controls.only.value.trim().toLowerCase();
    for (const { chart, box } of views.values()) {
      const names = [chart.title, ...chart.series.map((one) => one.label)];
      box.hidden = word !== "" && !names.some((name) => name.toLowerCase().includes(word));
    }
  }

  // New rows of the same curves go into the pictures that are there, so that a cursor and a zoom stay.
  function show(next) {
    const shape = (of) => JSON.stringify([of.charts.map((chart) => [chart.id, chart.series.map((one) => one.label)]), of.marks]);
    const same = shape(next) === shape(drawing);
    drawing = next;
    if (!same) return draw();
    for (const chart of next.charts) {
      const view = views.get(chart.id);
      view.chart = chart;
      const zoom = isZoomed(view.plot);
      view.plot.setData(aligned(chart.series), !zoom);
      if (zoom) view.plot.redraw(true);
    }
  }

  async function load() {
    if (embedded) return show(JSON.parse(embedded.textContent));
    const answer = await fetch(source).catch(() => null);
    if (answer?.ok) show(await answer.json());
  }

  // ---- what is chosen, kept in the address ----

  function remember() {
    const address = new URL(location.href);
    const set = (key, value, usual) => (value === usual ? address.searchParams.delete(key) : address.searchParams.set(key, value));
    set("axis", controls.axis.value, "step");
    set("smoothing", controls.smoothing.value, "0");
    set("log", controls.logarithmic.checked ? "1" : "", "");
    set("only", controls.only.value, "");
    if (!embedded) history.replaceState(null, "", address);
  }

  const chosen = new URL(location.href).searchParams;
  if (chosen.get("axis") === "epoch") controls.axis.value = "epoch";
  controls.smoothing.value = chosen.get("smoothing") ?? "0";
  controls.logarithmic.checked = chosen.get("log") === "1";
  controls.only.value = chosen.get("only") ?? "";
  document.getElementById("chart-controls").hidden = false;
  for (const input of [controls.axis, controls.logarithmic, controls.smoothing]) {
    input.addEventListener("input", () => {
      remember();
      // A zoom on one axis says nothing on the other.
      draw(input !== controls.axis);
    });
  }
  controls.only.addEventListener("input", () => {
    remember();
    only();
  });
  let width = holder.clientWidth;
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    views.forEach((view) => view.box.clientWidth > 0 && view.plot.setSize({ width: view.box.clientWidth, height: HEIGHT }));
  }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  document.addEventListener("lossmith:news", load);
  load();
})();
