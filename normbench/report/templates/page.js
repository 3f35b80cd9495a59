"use strict";
(() => {
  const page = JSON.parse(document.getElementById("specs").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const drawn = new Map();
  const DECADES = [0, ...Array.from({ length: 10 }, (_, power) => 10 ** power)];

  // One axis of a view and of all its parts on another scale. Zero has no place on a logarithm;
  // step 0 keeps its own on a scale that is linear up to 1.
  function rescale(view, axis, type) {
    for (const part of view.layer || []) rescale(part, axis, type);
    if (view.spec) rescale(view.spec, axis, type);
    const channel = view.encoding && view.encoding[axis];
    if (!channel) return;
    if (type === "log" && channel.field === "step") {
      channel.scale = { ...channel.scale, type: "symlog" };
      channel.axis = { ...channel.axis, values: DECADES };
      return;
    }
    channel.scale = { ...channel.scale, type, zero: false };
    if (type === "log") delete channel.scale.zero;
  }

  // On a phone long names leave room for what they name, and upright ones for their neighbours.
  function shorten(view, width) {
    for (const part of view.layer || []) shorten(part, width);
    const { x, y } = view.encoding || {};
    if (y && y.type === "nominal") y.axis = { ...y.axis, labelLimit: Math.floor(0.3 * width) };
    if (x && x.axis && x.axis.labelAngle < 0) {
      x.axis = { ...x.axis, labelAngle: -90, labelFontSize: 9, labelLimit: 130 };
    }
  }

  // Small multiples wrap to the width there is; a single chart fills it.
  function fit(spec, width) {
    if (!spec.spec) {
      if (width < 480) shorten(spec, width);
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
      return;
    }
    const own = spec.resolve && spec.resolve.scale && spec.resolve.scale.y === "independent";
    const most = Math.max(1, Math.min(3, Math.floor(width / 300)));
    const panels = spec.facet.sort.length;
    spec.columns = Math.ceil(panels / Math.ceil(panels / most)); // rows of like length
    spec.spacing = 16;
    const axes = 70 * (own ? spec.columns : 1) + 18 * (spec.columns - 1);
    spec.spec.width = Math.max(120, Math.floor((width - axes) / spec.columns));
  }

  async function draw(figure, scheme = dark.matches ? "dark" : "light") {
    const place = figure.querySelector(".chart");
    const { views, themes, data } = page[figure.dataset.chart];
    const view = figure.querySelector("select[data-view]");
    const copy = structuredClone(view ? views[view.value] : Object.values(views)[0]);
    const unpack = ({ fields, rows }) => rows.map((row) =>
      Object.fromEntries(fields.map((field, place) => [field, row[place]])));
    copy.datasets = Object.fromEntries(
      Object.entries(data).map(([name, table]) => [name, unpack(table)]));
    for (const select of figure.querySelectorAll("select[data-axis]")) {
      if (!select.selectedOptions[0].defaultSelected) rescale(copy, select.dataset.axis, select.value);
    }
    fit(copy, place.clientWidth);
    const config = structuredClone(themes[scheme]);
    config.legend.columns = Math.max(1, Math.floor(place.clientWidth / 110));
    drawn.get(figure)?.finalize(); // its listeners and its tooltip would stay
    drawn.delete(figure);
    try {
      drawn.set(figure, await vegaEmbed(place, copy, {
        actions: false, renderer: "svg", config, tooltip: { theme: scheme },
      }));
      figure.dataset.drawn = scheme;
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
      console.error(error);
    }
  }

  let width = document.documentElement.clientWidth;
  let waiting = 0;
  const all = () => {
    figures.forEach((figure) => draw(figure));
    for (const box of document.querySelectorAll(".scroll")) {
      box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth;
    }
  };
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(all, 150);
  });
  dark.addEventListener("change", all);
  // Paper is white, whatever the screen is; a drawing takes no timers, so it is done before layout.
  const turn = (scheme) => figures.forEach((figure) => {
    if (figure.dataset.drawn !== scheme) draw(figure, scheme);
  });
  addEventListener("beforeprint", () => turn("light"));
  addEventListener("afterprint", () => turn(dark.matches ? "dark" : "light"));
  for (const figure of figures) {
    for (const select of figure.querySelectorAll("select")) {
      select.addEventListener("change", () => draw(figure));
    }
  }
  all();
})();
