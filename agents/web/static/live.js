// A session as it runs: every number comes from the server's view of the journal, and is drawn as it is.
const at = (id) => document.getElementById(id);
const title = document.title;
const statuses = { awaiting_approval: "waits for you", concluded: "ended without a victory" };
const LOOK_SECONDS = 20;
const AGAIN_SECONDS = 3;
const dark = matchMedia("(prefers-color-scheme: dark)");
let shown = JSON.parse(at("view").textContent);

export function follow(live, say, silent) {
  let news;
  const base = `/sessions/${live.dataset.session}`;
  const open = () => (news = followed(base, say, silent));
  draw();
  dark.addEventListener("change", () => {
    for (const part of ["curves", "pairs", "proof"]) delete drawn[part];
    draw();
  });
  open();
  // A browser keeps few connections to one place: a tab that nobody sees asks now and then, for its title.
  document.addEventListener("visibilitychange", () => (document.hidden ? news.close() : open()));
  setInterval(() => document.hidden && look(`${base}/view`), 1000 * LOOK_SECONDS);
  addEventListener("pagehide", () => news.close());
}

async function look(path) {
  const answer = await fetch(path).catch(() => null);
  if (!answer?.ok) return false;
  shown = await answer.json();
  standing();
  return true;
}

function followed(base, say, silent) {
  const news = new EventSource(`${base}/events`);
  let lost = false;
  news.addEventListener("view", (event) => {
    const view = JSON.parse(event.data);
    if (lost) say("");
    lost = !view.status;
    if (lost) return say(view.error);
    shown = view;
    draw();
  });
  news.addEventListener("error", () => {
    if (!lost) say(silent);
    lost = true;
    if (news.readyState === EventSource.CLOSED) comeBack(`${base}/view`);
  });
  return news;
}

// A server that was started again knows this tab once its new address was opened in this browser.
function comeBack(path) {
  const trying = setInterval(async () => {
    if (!(await look(path))) return;
    clearInterval(trying);
    location.reload();
  }, 1000 * AGAIN_SECONDS);
}

function draw() {
  standing();
  graph();
  renewed("budget", budget);
  renewed("versions", versions);
  renewed("tail", tail);
  if (window.Plotly) charts();
  else addEventListener("load", charts, { once: true });
}

// What has not changed is left as it is: a person may be reading it, or have selected it.
const drawn = {};
function renewed(part, drawing, told = shown[part]) {
  const text = JSON.stringify(told);
  if (drawn[part] === text) return;
  drawn[part] = text;
  drawing();
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function standing() {
  const { status } = shown;
  at("status").replaceChildren(element("span", statuses[status] ?? status, `badge ${status}`));
  at("sentence").textContent = sentence();
  document.title = `(${statuses[status] ?? status}) ${title}`;
  at("decide").hidden = status !== "awaiting_approval";
  at("stop").disabled = shown.stopping;
  at("stop").hidden = status !== "running" && !shown.left;
  at("stop").textContent = status === "running" ? "Stop at the next boundary" : "End what it left running";
  const told = `${statuses[status] ?? status}, at ${shown.node}`;
  if (at("told").textContent !== told) at("told").textContent = told;
  at("resume").hidden = Boolean(shown.held) || (status !== "stopped" && status !== "failed");
}

function sentence() {
  const version = shown.versions.length ? `version ${shown.versions.length}` : "no version yet";
  if (shown.victory) {
    const { effect, ci, branch } = shown.victory;
    return `Effect ${signed(effect)} [${signed(ci[0])}, ${signed(ci[1])}] on ${branch}.`;
  }
  if (shown.stopping) return `It was asked to stop, and does at its next boundary; it is at ${shown.node}.`;
  if (shown.status === "running") return `At ${shown.node}, ${version}, ${counted(shown.spend.runs, "run")} so far.`;
  if (shown.status === "awaiting_approval") return `${version} waits with its diff.`;
  return shown.error || shown.held || shown.conclusion || shown.said || `It stopped at ${shown.node}; what was done by then is kept.`;
}

function graph() {
  const here = shown.node;
  const stopped = shown.status === "stopped" || shown.status === "failed";
  const ended = shown.status === "victory" || shown.status === "concluded";
  for (const node of document.querySelectorAll("#graph .node")) {
    node.classList.toggle("on", node.dataset.node === here && !stopped);
    node.classList.toggle("was", node.dataset.node === here && stopped);
    node.classList.toggle("running", node.dataset.node === here && shown.status === "running");
    if (node.dataset.node === here) renewed("node", () => intoView(node), here);
  }
  at("graph").setAttribute("aria-label", `The graph of a session; ${ended ? "it ended with" : stopped ? "it stopped at" : "at"} ${here}`);
  at("live").dataset.node = here;
}

function intoView(node) {
  const scroll = at("graph-scroll");
  const [outer, inner] = [scroll.getBoundingClientRect(), node.getBoundingClientRect()];
  scroll.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
}

function budget() {
  at("budget").replaceChildren(
    ...shown.budget.map(({ name, used, limit, said }) => {
      const row = element("div", undefined, "meter");
      const bar = element(limit ? "progress" : "span");
      if (limit) {
        bar.setAttribute("aria-label", `${name} used`);
        bar.max = limit;
        bar.value = Math.min(used, limit);
      }
      row.append(element("span", name), bar, element("span", limit ? said : `${said}, no limit`, "num"));
      return row;
    }),
  );
}

function versions() {
  if (!shown.versions.length) return;
  at("versions").replaceChildren(
    ...shown.versions.map((version) => {
      const box = element("div", undefined, "version");
      const title = element("p");
      title.append(element("b", `V${version.n} ${version.title} `));
      if (version.outcome) title.append(element("span", version.cause ? `${version.outcome} by ${version.cause}` : version.outcome, `badge ${version.outcome}`));
      box.append(title, element("p", version.flags, "hint"));
      for (const [name, words] of said(version)) box.append(element("p", `${name}: ${words}`));
      return box;
    }),
  );
}

function said(version) {
  const interval = (mean, ci) => `${signed(mean)}${ci ? ` [${signed(ci[0])}, ${signed(ci[1])}]` : ""}`;
  const lines = [];
  if (version.decision) lines.push(["Diff", version.decision]);
  if (version.gate) lines.push(["Regression", version.gate]);
  if (version.visible_effect != null) lines.push(["Gain in the screen, on the visible split", interval(version.visible_effect, version.visible_effect_ci)]);
  if (version.speed_ratio != null) lines.push(["Step time", `× ${version.speed_ratio.toFixed(3)}`]);
  if (version.memory_ratio != null) lines.push(["Memory", `× ${version.memory_ratio.toFixed(2)}`]);
  if (version.effect != null) lines.push([version.ended === "confirmed" ? "Effect on fresh seeds and hidden data" : "Effect, by the rule of proof", interval(version.effect, version.ci)]);
  if (version.hidden) lines.push(["Effect", "of the hidden split: shown when the session has ended"]);
  if (version.finding) lines.push(["Verdict", version.finding]);
  if (version.next) lines.push(["Next", version.next]);
  return lines;
}

function tail() {
  at("tail-card").hidden = !shown.tail.length;
  at("tail").textContent = shown.tail.join("\n");
}

const signed = (value) => (value == null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`);

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function plot(id, words, traces, layout) {
  const empty = !traces.length;
  at(`${id}-empty`).hidden = !empty;
  at(id).hidden = empty;
  at(id).setAttribute("aria-label", words);
  if (empty) return;
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("soft"), automargin: true };
  Plotly.react(
    at(id),
    traces,
    {
      margin: { l: 52, r: 12, t: 8, b: 40 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), size: 12 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      hovermode: "closest",
      showlegend: true,
      ...layout,
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
    },
    { responsive: true, displaylogo: false, displayModeBar: false },
  );
}

function charts() {
  renewed("curves", curves);
  renewed("pairs", pairs);
  renewed("proof", proof);
}

const counted = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;

function curves() {
  const traces = [];
  const words = [];
  const ends = [];
  for (const [name, dash] of [["baseline", "dash"], ["experiment", "solid"]]) {
    const { steps, seeds, mean, std } = shown.curves[name];
    if (!steps.length) continue;
    const line = colour(name);
    const shift = (sign) => mean.map((value, i) => (value === null ? null : value + sign * std[i]));
    traces.push({ x: steps, y: shift(-1), mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: name });
    traces.push({ x: steps, y: shift(1), mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faint(line, 0.18), hoverinfo: "skip", showlegend: false, legendgroup: name });
    for (const { seed, losses } of seeds) {
      traces.push({ x: steps, y: losses, mode: "lines", name: `seed ${seed}`, line: { color: line, width: 1 }, opacity: 0.25, showlegend: false, legendgroup: name });
    }
    const called = name === "experiment" && shown.curves.version ? `V${shown.curves.version}` : name;
    const last = mean.length - 1;
    words.push(`${called}: ${mean[last]?.toPrecision(4)} at step ${steps[last]}, mean of ${counted(seeds.length, "seed")}`);
    ends.push(...seeds.flatMap(({ losses }) => losses.slice(Math.floor(losses.length * START))).filter((loss) => loss !== null));
    traces.push({ x: steps, y: mean, mode: "lines", name: `${called}, ${counted(seeds.length, "seed")}`, line: { color: line, width: 2.5, dash }, legendgroup: name });
  }
  plot("curves", `Training loss. ${words.join("; ")}`, traces, { xaxis: { title: { text: "step" } }, yaxis: { title: { text: "training loss" }, range: around(ends) } });
}

// The first losses are far above all others, and would make one flat line of what is to be compared.
const START = 0.25;
function around(losses) {
  if (!losses.length) return undefined;
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const room = 0.05 * (high - low || 1);
  return [low - room, high + room];
}

function faint(hex, opacity) {
  const [r, g, b] = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

function pairs() {
  const { points, hidden, sigma, metric } = shown.pairs;
  const colours = { screen: "baseline", confirm: "experiment", report: "third" };
  const symbols = { screen: "circle", confirm: "diamond", report: "square" };
  const traces = Object.keys(colours)
    .map((stage) => ({ stage, own: points.map((point, row) => ({ ...point, row })).filter((point) => point.stage === stage) }))
    .filter(({ own }) => own.length)
    .map(({ stage, own }) => ({
      x: own.map((point) => point.gain),
      y: own.map((point) => point.row + 1),
      text: own.map((point) => `seed ${point.seed}`),
      mode: "markers",
      name: stage,
      marker: { color: colour(colours[stage]), size: 9, symbol: symbols[stage] },
    }));
  at("pairs-hidden").textContent = hidden ? `${counted(hidden, "more pair")} on hidden data: shown when the session has ended.` : "";
  if (traces.length) traces.push({ x: [null], y: [null], mode: "markers", name: "baseline's sigma", marker: { color: faint(colour("soft"), 0.3), size: 11, symbol: "square" } });
  const mean = points.reduce((sum, point) => sum + point.gain, 0) / points.length;
  const words = `${counted(points.length, "pair")}, mean gain in ${metric} ${signed(mean)}; one sigma of the baseline is ${sigma?.toPrecision(3)}`;
  const band = { type: "rect", x0: -sigma, x1: sigma, yref: "paper", y0: 0, y1: 1, fillcolor: colour("soft"), opacity: 0.12, line: { width: 0 } };
  const ticks = Math.max(1, Math.ceil(points.length / 8));
  plot("pairs", words, traces, { shapes: [band], xaxis: { title: { text: `gain in ${metric}, right is better` }, zeroline: true }, yaxis: { title: { text: "pair" }, dtick: ticks, rangemode: "tozero" } });
}

function proof() {
  const { proof: found } = shown;
  const traces = [];
  if (found) {
    const n = found.looks.map((look) => look.n);
    traces.push({ x: n, y: found.looks.map((look) => look.win), mode: "lines+markers", name: "wins above", line: { color: colour("good"), dash: "dot" } });
    traces.push({ x: n.slice(0, -1), y: found.looks.slice(0, -1).map((look) => look.stop), mode: "lines+markers", name: "stops below", line: { color: colour("bad"), dash: "dot" } });
    if (found.told.length) {
      traces.push({ x: found.told.map((one) => one.n), y: found.told.map((one) => one.t), mode: "lines+markers", name: "T", line: { color: colour("experiment"), width: 2.5 } });
    }
  }
  const hidden = found && !found.told.length;
  at("proof-hidden").textContent = hidden ? `${counted(found.done, "run")} on fresh seeds so far: their T is shown when the session has ended.` : "";
  const newest = found?.told.at(-1);
  const bounds = found?.looks.map((look) => `${look.win.toFixed(2)} after ${look.n}`).join(", ");
  const words = found && `${newest ? `T is ${newest.t?.toFixed(2)} after ${counted(newest.n, "pair")}` : "T is not shown yet"}; it wins above ${bounds}`;
  plot("proof", words, traces, { xaxis: { title: { text: "pairs on fresh seeds and hidden data" } }, yaxis: { title: { text: "T" } } });
}
