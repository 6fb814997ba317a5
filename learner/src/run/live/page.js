"use strict";
// The run's own files, every two seconds; nothing else is asked for. All that is shown is set as text.
const EVERY = 2000;
const PATIENCE = 10000;
let steps = [];
let looks = [];
let heard = 0;
let open = new Set();

async function ask() {
  const after = steps.length ? steps[steps.length - 1].step : 0;
  try {
    const response = await fetch(`run.json?after=${after}`, { cache: "no-store" });
    const run = await response.json();
    if (!response.ok) { throw new Error(run.error); }
    // A run that was cut and goes on writes its last steps again, one begun anew all of them.
    steps = steps.filter((line) => line.step <= run.last);
    steps.push(...run.steps);
    looks = run.held_out;
    heard = Date.now();
    draw(run);
    lost("");
  } catch (error) {
    if (Date.now() - heard > PATIENCE) { lost(error instanceof SyntaxError ? "it answers no figures" : error.message); }
  }
  setTimeout(ask, EVERY);
}

function element(id) { return document.getElementById(id); }

function lost(why) {
  const line = element("lost");
  line.hidden = why === "";
  line.textContent = why === "" ? "" : `no figures for ${Math.round((Date.now() - heard) / 1000)} s (${why}); those below are old.`;
  element("figures").classList.toggle("stale", why !== "");
}

const SVG = ["svg", "line", "path", "rect", "text", "circle", "title"];

function make(parent, name, attributes, text) {
  const svg = SVG.includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) { made.setAttribute(key, value); }
  if (text !== undefined) { made.textContent = text; }
  parent.append(made);
  return made;
}

function number(value) {
  if (value === null || value === undefined) { return "none"; }
  if (value === 0) { return "0"; }
  if (Math.abs(value) >= 100) { return Math.round(value).toLocaleString("en"); }
  return Number(value.toPrecision(3)).toString();
}

function percent(value) { return `${number(100 * value)}\u00a0%`; }

function seconds(value) {
  return value < 120 ? `${number(value)}\u00a0s` : value < 7200 ? `${number(value / 60)}\u00a0min` : `${number(value / 3600)}\u00a0h`;
}

function took(line) { return line.seconds_rollout + line.seconds_reward + line.seconds_update; }

function mean(values) { return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length); }

function draw(run) {
  const last = steps[steps.length - 1];
  drawState(run, last);
  drawCharts(run);
  if (!last) { return; }
  drawFigures(run, last);
  drawRollouts(run);
}

function stateOf(run, last) {
  if (run.over) { return last ? `Done: ${last.step} steps` : `Done: SFT of ${run.sft.last} steps`; }
  if (last) { return `Step ${last.step} of ${run.total}, ${last.stage}`; }
  return run.sft && !run.sft.over ? `SFT, step ${run.sft.last} of at most ${run.sft.total}` : "Before the first step";
}

function secondsLeft(run, last, recent) {
  return last ? mean(recent.map(took)) * (run.total - last.step) : run.sft ? run.sft.seconds_left : 0;
}

function dropped(line) { return line.infra_error_fraction + line.unsupported_fraction; }

function drawState(run, last) {
  element("state").textContent = stateOf(run, last);
  const recent = steps.slice(-20);
  const left = secondsLeft(run, last, recent);
  const rest = run.over || left === 0 ? "" : `, about ${seconds(left)} to go`;
  const quiet = run.seconds_since_step > 60 && !run.over ? `; the last step was ${seconds(run.seconds_since_step)} ago` : "";
  element("more").textContent = `${run.out}${rest}${quiet}`;
  const lacking = recent.filter((line) => dropped(line) > 0);
  const failures = element("failures");
  failures.hidden = lacking.length === 0;
  failures.textContent = `in ${lacking.length} of the last ${recent.length} steps some rollouts got no reward ` +
    `(at most ${percent(Math.max(0, ...lacking.map(dropped)))}). They were dropped; none became a zero.`;
  element("findings").replaceChildren(...run.findings.map((text) => {
    const line = document.createElement("p");
    line.className = "warning";
    line.textContent = text;
    return line;
  }));
}

function drawFigures(run, last) {
  const look = looks[looks.length - 1];
  // The start is where the run came from, not what it made.
  const made = looks.filter((look) => look.step > 0);
  const best = made.reduce((best, look) => (!best || look.accuracy.mean > best.accuracy.mean ? look : best), null);
  const figures = [
    ["Reward", number(last.reward_mean), `began at ${number(steps[0].reward_mean)}`],
    look ? ["Held-out accuracy", percent(look.accuracy.mean), `${percent(look.accuracy.low)} to ${percent(look.accuracy.high)} at step ${look.step}`] :
      ["Held-out accuracy", "none", "set eval.every"],
    best ? ["Best so far", percent(best.accuracy.mean), `step ${best.step}, kept as rl.best`] :
      ["Best so far", "none", "no look yet"],
    ["Entropy", number(last.entropy), `nats a token; aim ${number(run.target)}`],
    ["Temperature", number(last.temperature), "of this step"],
    ["Length", number(last.completion_length_mean), `tokens, mean; ${number(last.completion_length_min)} to ` +
      `${number(last.completion_length_max)}; ${percent(last.truncated_fraction)} cut`],
    ["Groups without signal", percent(last.zero_std_fraction), "all rewards equal" +
      (last.solved_problems ? `; ${number(last.solved_problems)} problems solved and left out` : "")],
    ["Unreadable answers", percent(last.unreadable_fraction), "no box, no code"],
    ["Infra errors", percent(last.infra_error_fraction), "rollouts dropped"],
    ["Unsupported problems", percent(last.unsupported_fraction), "rollouts dropped"],
    ["Gradient norm", number(last.grad_norm), "before clipping"],
    ["Sampler to trainer", number(last.mismatch_kl), "KL, nats a token"],
    ["A step takes", seconds(took(last)), `sample ${seconds(last.seconds_rollout)}, wait ${seconds(last.seconds_reward)}, ` +
      `update ${seconds(last.seconds_update)}`],
    ["A reward takes", seconds(last.reward_latency_p50_seconds), `the median; 95 % within ${seconds(last.reward_latency_p95_seconds)}, ` +
      `the slowest ${seconds(last.reward_latency_max_seconds)}`],
    ["Tokens a second", number(last.tokens_per_second), `prompts too; ${number(last.num_tokens)} in all`],
  ];
  const parent = element("figures");
  while (parent.children.length < figures.length) {
    const box = make(parent, "div");
    make(box, "span", { class: "label" });
    make(box, "strong");
    make(box, "small");
  }
  figures.forEach((texts, at) => texts.forEach((text, part) => { parent.children[at].children[part].textContent = text; }));
}

const line = (name, value) => ({ name, points: () => steps.map((line) => [line.step, value(line)]) });
const CHARTS = [
  { title: "Reward", lines: [line("mean", (s) => s.reward_mean), line("standard deviation", (s) => s.reward_std)] },
  { title: "Held-out accuracy, with its 95\u00a0% interval", show: percent, least: 0.01, band: true,
    lines: [{ name: "all problems", points: () => looks.map((look) => [look.step, look.accuracy.mean]) },
      { name: "last number counts too", points: () => looks.filter((look) => look.lenient).map((look) => [look.step, look.lenient.mean]) }] },
  { title: "Entropy, nats a token", target: true, lines: [line("entropy", (s) => s.entropy)] },
  { title: "Temperature", lines: [line("temperature", (s) => s.temperature)] },
  { title: "Tokens of a completion", lines: [line("mean", (s) => s.completion_length_mean),
    line("mean of those not cut", (s) => s.completion_length_terminated_mean)] },
  { title: "Shares", show: percent, least: 0.01, lines: [line("cut", (s) => s.truncated_fraction), line("groups without signal", (s) => s.zero_std_fraction),
    line("unreadable", (s) => s.unreadable_fraction)] },
  { title: "Rollouts dropped", show: percent, least: 0.01, lines: [line("infra errors", (s) => s.infra_error_fraction),
    line("unsupported problems", (s) => s.unsupported_fraction)] },
  { title: "Time of a step", show: seconds, least: 0.01, lines: [line("sample", (s) => s.seconds_rollout), line("wait for rewards", (s) => s.seconds_reward),
    line("update", (s) => s.seconds_update)] },
  { title: "Time of a reward, beside the sampling", show: seconds, least: 0.01, lines: [line("median", (s) => s.reward_latency_p50_seconds),
    line("95 % within", (s) => s.reward_latency_p95_seconds), line("slowest", (s) => s.reward_latency_max_seconds)] },
  { title: "Gradient norm", lines: [line("before clipping", (s) => s.grad_norm)] },
];

// What came before the first step above; its steps are counted apart.
function sftCharts(run) {
  if (!run.sft) { return []; }
  const accuracies = Object.entries(run.sft.accuracies).map(([name, points]) => ({ name, points: () => points }));
  return [
    { title: "SFT: loss, nats a token", end: run.sft.total, lines: [{ name: "loss", points: () => run.sft.loss }] },
    { title: "SFT: development problems solved", end: run.sft.total, show: percent, least: 0.01, lines: accuracies },
  ];
}

function drawCharts(run) {
  // A run without looks at held-out problems has no curve of them.
  const drawn = [...sftCharts(run), ...CHARTS].filter((chart) => chart.lines.some(({ points }) => points().length));
  element("charts").replaceChildren(...drawn.map((chart) => {
    const part = document.createElement("div");
    make(part, "h3", {}, chart.title);
    drawChart(part, chart, run);
    return part;
  }));
}

const WIDE = 480, HIGH = 170, LEFT = 52, RIGHT = 10, TOP = 8, FOOT = 22;
// More points than this are joined in means: a curve has so many pixels.
const POINTS = 240;

function thinned(points) {
  const size = Math.ceil(points.length / POINTS);
  if (size <= 1) { return points; }
  const parts = Array.from({ length: Math.ceil(points.length / size) }, (_, at) => points.slice(at * size, (at + 1) * size));
  return parts.map((part) => [mean(part.map(([step]) => step)), mean(part.map(([, value]) => value))]);
}

function drawChart(part, chart, run) {
  const show = chart.show || number;
  const rows = chart.lines.map(({ name, points }) => [name, thinned(points())]).filter(([, points]) => points.length);
  const values = rows.flatMap(([, points]) => points.map(([, value]) => value));
  const band = chart.band ? looks.flatMap((look) => [look.accuracy.low, look.accuracy.high]) : [];
  const target = chart.target ? [run.target] : [];
  const now = rows.map(([name, points]) => `${name} ${show(points[points.length - 1][1])}`);
  const svg = make(part, "svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${chart.title}, now: ${now.join(", ")}` });
  const top = above(Math.max(chart.least || 0.001, ...values, ...band, ...target));
  const end = Math.max(1, chart.end || run.total);
  const x = (step) => LEFT + step * (WIDE - LEFT - RIGHT) / end;
  const y = (value) => TOP + (1 - value / top) * (HIGH - TOP - FOOT);
  for (const share of [0, 0.5, 1]) {
    make(svg, "line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(share * top), y2: y(share * top) });
    make(svg, "text", { x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, show(share * top));
  }
  make(svg, "text", { x: LEFT, y: HIGH - 5 }, "step 0");
  make(svg, "text", { x: WIDE - RIGHT, y: HIGH - 5, "text-anchor": "end" }, end);
  for (const value of target) { make(svg, "line", { class: "target", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }); }
  if (chart.band && looks.length) {
    const edge = (key, list) => list.map((look) => `${x(look.step).toFixed(1)} ${y(Math.max(0, look.accuracy[key])).toFixed(1)}`);
    make(svg, "path", { class: "band b0", d: `M${[...edge("low", looks), ...edge("high", [...looks].reverse())].join("L")}Z` });
  }
  rows.forEach(([, points], index) => {
    if (points.length === 1) { make(svg, "circle", { class: "dot", cx: x(points[0][0]), cy: y(points[0][1]), r: 3 }); }
    if (points.length < 2) { return; }
    const path = points.map(([step, value]) => `${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    make(svg, "path", { class: `line l${index}`, d: `M${path}` });
  });
  const legend = make(part, "p", { class: "legend" });
  const keys = [...now.map((text, index) => [text, `line l${index}`]), ...target.map((value) => [`aim ${number(value)}`, "target"])];
  for (const [text, style] of keys) {
    const entry = make(legend, "span");
    const key = make(entry, "svg", { class: "key", viewBox: "0 0 36 12", "aria-hidden": "true" });
    make(key, "line", { class: style, x1: 1, x2: 35, y1: 6, y2: 6 });
    entry.append(text);
  }
}

// The next round number.
function above(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= value * 0.999);
}

function drawRollouts(run) {
  element("of").textContent = run.rollouts.length ? `Of step ${run.rollouts_step}, as they were graded.` :
    "None are kept; set dump.rollouts in the recipe.";
  element("rollouts").replaceChildren(...run.rollouts.map((rollout, at) => {
    const box = document.createElement("details");
    box.className = "sample";
    box.open = open.has(at);
    box.ontoggle = () => { if (box.open) { open.add(at); } else { open.delete(at); } };
    const summary = make(box, "summary", {}, `${rollout.question_id} `);
    make(summary, "span", { class: "tag" }, rollout.reward === null ? "no reward" : `reward ${number(rollout.reward)}`);
    make(summary, "span", { class: "tag" }, rollout.verdict.replaceAll("_", " "));
    if (rollout.truncated) { make(summary, "span", { class: "tag" }, "cut"); }
    make(summary, "span", { class: "text" }, `${rollout.tokens} tokens`);
    make(box, "h3", {}, "Asked");
    make(box, "pre", {}, rollout.prompt);
    make(box, "h3", {}, "Written");
    make(box, "pre", {}, rollout.completion);
    return box;
  }));
}

ask();
