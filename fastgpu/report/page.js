"use strict";
// Reading values off a chart: by pointer, or by the arrow keys. Without it the curves are all there.
for (const figure of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(figure.dataset.chart);
  const plot = figure.querySelector(".plot");
  const cursor = figure.querySelector(".cursor");
  const tip = figure.querySelector(".tip");
  let at = chart.x.length - 1;

  function element(kind, text) {
    const made = document.createElement(kind);
    made.textContent = text;
    return made;
  }

  function show(index) {
    at = Math.max(0, Math.min(chart.x.length - 1, index));
    tip.replaceChildren(element("b", `${chart.axis} ${chart.x[at]}`));
    for (const line of chart.lines) {
      const row = document.createElement("div");
      row.append(element("span", line.name), element("span", line.values[at]));
      tip.append(row);
    }
    cursor.style.left = `${chart.left[at]}%`;
    cursor.hidden = tip.hidden = false;
    // Beside the cursor, on the side that has room, and never over the page's edge.
    const x = (chart.left[at] / 100) * plot.clientWidth;
    const right = x < plot.clientWidth / 2;
    tip.style.left = `${right ? Math.min(x + 10, plot.clientWidth - tip.offsetWidth) : Math.max(x - 10 - tip.offsetWidth, -40)}px`;
  }

  function hide() {
    cursor.hidden = tip.hidden = true;
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = (100 * (event.clientX - box.left)) / box.width;
    const gaps = chart.left.map((left) => Math.abs(left - share));
    show(gaps.indexOf(Math.min(...gaps)));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(at));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      show(at + step);
    }
  });
}
