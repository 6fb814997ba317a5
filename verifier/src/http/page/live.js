"use strict";
// One sample a second from `live/events`; nothing is asked for but that. All that is shown is set as text.
const KEPT = 300;
const MINUTE = 60;
let samples = [];
let heard = 0;
let drawn = false;

function connect() {
  const source = new EventSource("live/events");
  source.onopen = () => { samples = []; };
  source.onmessage = (event) => {
    samples.push(JSON.parse(event.data));
    if (samples.length > KEPT) { samples.shift(); }
    heard = Date.now();
    if (!drawn) { drawn = true; requestAnimationFrame(draw); }
  };
  // The browser tries again by itself, but not after a refusal.
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) { setTimeout(connect, 3000); } };
}

function element(id) { return document.getElementById(id); }

function make(parent, name, attributes, text) {
  const svg = ["svg", "line", "path", "rect", "text", "g"].includes(name) || parent.namespaceURI.endsWith("svg");
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) { made.setAttribute(key, value); }
  if (text !== undefined) { made.textContent = text; }
  parent.append(made);
  return made;
}

function sum(list, value) { return list.reduce((total, item) => total + (value(item) || 0), 0); }

function number(value) {
  if (value >= 100 || Number.isInteger(value)) { return Math.round(value).toLocaleString("en"); }
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

function seconds(value) {
  if (value === null || value === undefined) { return "none"; }
  const units = value < 1e-3 ? [1e6, "us"] : value < 1 ? [1e3, "ms"] : [1, "s"];
  return `${Number((value * units[0]).toPrecision(2))} ${units[1]}`;
}

function clock(time) { return new Date(time * 1000).toLocaleTimeString("en-GB"); }

function draw() {
  drawn = false;
  const last = samples[samples.length - 1];
  if (!last) { return; }
  const minute = samples.slice(-MINUTE);
  drawState(last);
  drawFigures(last, minute);
  drawCharts();
  drawVerdicts(last, minute);
}

function drawState(last) {
  element("state").textContent = last.now.ready ? "Ready" : "Not ready";
  element("more").textContent = `Tier ${last.now.tier}, ${number(last.totals.requests)} requests since the start, ` +
    `last figures of ${clock(last.now.time)}`;
  const recent = sum(samples, (sample) => sample.gained.infra_errors);
  const failures = element("failures");
  failures.hidden = recent === 0;
  failures.textContent = `failures of the service's own in the last five minutes: ${number(recent)}. None became a reward; ` +
    "the log has the reason of each.";
}

// What a figure is called, its value, and what it is measured by.
function drawFigures(last, minute) {
  const span = Math.max(1, Math.min(10, minute.length));
  const rate = sum(minute.slice(-span), (sample) => sample.gained.requests) / span;
  const { now, totals } = last;
  const looked = totals.cache_hits + totals.cache_misses;
  const failed = sum(minute, (sample) => sample.gained.failed);
  const figures = [
    ["Requests a second", number(rate), "mean of 10 seconds"],
    ["In line", number(now.waiting), `room for ${number(now.queue)}`],
    ["Working", number(Math.max(0, now.running - now.asleep)), `of ${now.slots} slots`],
    ["Asleep", number(now.asleep), `of ${now.sleepers} places`],
    ["Answers, median", seconds(last.answers.p50), "of the last minute"],
    ["Answers, 95\u00a0%", seconds(last.answers.p95), "took at most this"],
    ["Answers, 99\u00a0%", seconds(last.answers.p99), "took at most this"],
    ["In line, 95\u00a0%", seconds(last.waits.p95), "waited at most this"],
    ["Infra errors", number(totals.infra_errors), "since the start"],
    ["Answered 5xx", number(failed), "last minute"],
    now.cache ? ["Cache hits", looked ? `${number(100 * totals.cache_hits / looked)}\u00a0%` : "none",
      `${number(totals.cache_hits)} of ${number(looked)}`] : ["Cache hits", "off", "start with --cache N"],
  ];
  const parent = element("figures");
  while (parent.children.length < figures.length) {
    const box = make(parent, "div");
    make(box, "span", { class: "label" });
    make(box, "strong");
    make(box, "small");
  }
  figures.forEach((texts, at) => texts.forEach((text, part) => {
    const place = parent.children[at].children[part];
    if (place.textContent !== text) { place.textContent = text; }
  }));
}

const CHARTS = [
  { title: "Requests a second", lines: [["answered", (s) => s.gained.requests], ["of those 5xx", (s) => s.gained.failed]] },
  { title: "Items", lines: [["working", (s) => Math.max(0, s.now.running - s.now.asleep)], ["in line", (s) => s.now.waiting],
    ["asleep", (s) => s.now.asleep]] },
  { title: "Time to the answer, over a minute", log: true, show: seconds,
    lines: [["median", (s) => s.answers.p50], ["95\u00a0%", (s) => s.answers.p95], ["99\u00a0%", (s) => s.answers.p99]] },
  { title: "Wait in line, over a minute", log: true, show: seconds,
    lines: [["median", (s) => s.waits.p50], ["95\u00a0%", (s) => s.waits.p95], ["99\u00a0%", (s) => s.waits.p99]] },
];

function drawCharts() {
  const parent = element("charts");
  const parts = CHARTS.map((chart) => {
    const part = document.createElement("div");
    make(part, "h3", {}, chart.title);
    drawChart(part, chart);
    drawLegend(part, chart);
    return part;
  });
  parent.replaceChildren(...parts);
}

const WIDE = 480, HIGH = 170, LEFT = 52, RIGHT = 10, TOP = 8, FOOT = 22;

function drawChart(part, chart) {
  const rows = chart.lines.map(([name, value]) => [name, samples.map(value)]);
  const scale = chart.log ? decades(rows) : evenly(rows);
  const svg = make(part, "svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": described(chart, rows) });
  const x = (at) => WIDE - RIGHT - (samples.length - 1 - at) * (WIDE - LEFT - RIGHT) / (KEPT - 1);
  const y = (share) => TOP + (1 - share) * (HIGH - TOP - FOOT);
  for (const [share, label] of scale.ticks) {
    make(svg, "line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(share), y2: y(share) });
    make(svg, "text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, label);
  }
  for (const minutes of [5, 4, 3, 2, 1, 0]) {
    const at = WIDE - RIGHT - minutes * MINUTE * (WIDE - LEFT - RIGHT) / KEPT;
    const anchor = minutes === 0 ? "end" : "middle";
    make(svg, "text", { x: at, y: HIGH - 5, "text-anchor": anchor }, minutes === 0 ? "now" : minutes === 5 ? "5 min" : minutes);
  }
  rows.forEach(([, values], index) => {
    let path = "";
    values.forEach((value, at) => {
      if (value === null || value === undefined) { return; }
      const joined = at > 0 && values[at - 1] !== null && values[at - 1] !== undefined;
      path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(scale.share(value)).toFixed(1)}`;
    });
    if (path) { make(svg, "path", { class: `line l${index}`, d: path }); }
  });
}

// Whole steps from 0 up to what the highest value needs.
function evenly(rows) {
  const most = Math.max(1, ...rows.flatMap(([, values]) => values));
  const power = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= most);
  const parts = top === 1 ? [0, 1] : [0, 0.5, 1];
  return { share: (value) => value / top, ticks: parts.map((part) => [part, number(top * part)]) };
}

// Powers of ten around all values.
function decades(rows) {
  const logs = rows.flatMap(([, values]) => values).filter((value) => value > 0).map(Math.log10);
  const low = logs.length ? Math.floor(Math.min(...logs)) : -3;
  const high = Math.max(low + 1, logs.length ? Math.ceil(Math.max(...logs)) : 0);
  const steps = Array.from({ length: high - low + 1 }, (_, step) => [step / (high - low), seconds(10 ** (low + step))]);
  return { share: (value) => (Math.log10(Math.max(value, 1e-9)) - low) / (high - low), ticks: steps };
}

function described(chart, rows) {
  const show = chart.show || number;
  return `${chart.title}, now: ` + rows.map(([name, values]) => `${name} ${show(values[values.length - 1])}`).join(", ");
}

function drawLegend(part, chart) {
  const legend = make(part, "p", { class: "legend" });
  const show = chart.show || number;
  const last = samples[samples.length - 1];
  chart.lines.forEach(([name, value], index) => {
    const entry = make(legend, "span");
    const key = make(entry, "svg", { class: "key", viewBox: "0 0 36 12", "aria-hidden": "true" });
    make(key, "line", { class: `line l${index}`, x1: 1, x2: 35, y1: 6, y2: 6 });
    entry.append(`${name} ${show(value(last))}`);
  });
}

const ORDER = ["accepted", "wrong_answer", "time_limit_exceeded", "memory_limit_exceeded", "output_limit_exceeded",
  "runtime_error", "compile_error", "no_answer", "security_violation", "unsupported", "infra_error",
  "exited_zero", "exited_nonzero", "signaled", "cpu_time_limit", "wall_time_limit", "memory_limit", "output_limit",
  "process_limit", "forbidden_syscall", "broke_slots", "refused"];

function drawVerdicts(last, minute) {
  const names = Object.keys(last.totals.verdicts);
  if (names.length === 0) { return; }
  names.sort((a, b) => (ORDER.indexOf(a) + 100) % 100 - (ORDER.indexOf(b) + 100) % 100);
  const counts = names.map((name) => sum(minute, (sample) => sample.gained.verdicts[name]));
  const all = sum(counts, (count) => count);
  const rows = names.map((name, at) => {
    const row = document.createElement("tr");
    make(row, "td", {}, name.replaceAll("_", " "));
    make(row, "td", { class: "n" }, number(counts[at]));
    const share = all ? counts[at] / all : 0;
    const cell = make(row, "td");
    const bar = make(cell, "svg", { class: "bar", viewBox: "0 0 160 12", "aria-hidden": "true" });
    make(bar, "rect", { class: "frame", x: 0.5, y: 0.5, width: 159, height: 11 });
    make(bar, "rect", { class: "fill", x: 0, y: 0, width: 160 * share, height: 12 });
    cell.append(all ? `\u00a0${Math.round(100 * share)}\u00a0%` : "");
    make(row, "td", { class: "n" }, number(last.totals.verdicts[name]));
    return row;
  });
  element("verdicts").replaceChildren(...rows);
}

// A page that has stopped being true says so.
setInterval(() => {
  const silent = Math.round((Date.now() - heard) / 1000);
  const lost = heard > 0 && silent > 4;
  element("lost").hidden = !lost;
  element("lost").textContent = `nothing heard for ${silent} s; the service is gone or busy, trying again. All below is old.`;
  document.querySelector("main").classList.toggle("stale", lost);
  if (lost) { element("state").textContent = "Connection lost"; }
}, 1000);

connect();
