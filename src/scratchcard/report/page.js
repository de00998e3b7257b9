const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
const read = (id) => JSON.parse(document.getElementById(id).textContent);

// Tables: a click on a header sorts by data-v (a number or a text); empty cells stay at the end.
const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b) : difference;
}
function sort(header) {
  const table = header.closest("table");
  const down = header.ariaSort === "ascending";
  for (const other of $("th[aria-sort]", table)) other.ariaSort = "none";
  header.ariaSort = down ? "descending" : "ascending";
  const column = header.cellIndex;
  const rows = $("tbody tr", table).sort((first, second) => {
    const [a, b] = [key(first, column), key(second, column)];
    return (down && a !== "" && b !== "" ? -1 : 1) * compare(a, b);
  });
  table.tBodies[0].append(...rows);
}
for (const header of $("th[aria-sort]")) {
  header.querySelector("button").addEventListener("click", () => sort(header));
}

// One rung at a time, chosen with radio buttons: tables, contact sheets and diagrams follow.
const diagrams = [];
const chosen = () => document.querySelector(".rungs input:checked")?.value;
const own = (diagram, rung) => diagram.rungs[rung ?? Object.keys(diagram.rungs)[0]];
function say(target, diagram, rung) {
  target.closest("figure").querySelector("small").hidden = own(diagram, rung) !== undefined;
  return [...diagram.dense, ...(own(diagram, rung) ?? [])];
}
function show(rung) {
  for (const part of $(".rung")) part.hidden = part.dataset.rung !== rung;
  for (const input of $(".rungs input")) input.checked = input.value === rung;
  const at = document.querySelector(".rungs input:checked").parentElement.textContent;
  for (const part of $(".at")) part.textContent = `${at} %`;
  for (const { view, target, diagram } of diagrams) {
    view.data("bins", say(target, diagram, rung)).runAsync();
  }
}
for (const control of $(".rungs")) {
  control.hidden = false;
  control.addEventListener("change", (event) => show(event.target.value));
}
if (chosen()) show(chosen());

// Methods: the legend hides one everywhere; pointing at one lights it, and a click on its row keeps it lit.
const views = [];
let kept = "";
const hidden = () => $(".legend button[aria-pressed=false]").map((button) => button.value);
function toggle(button) {
  button.ariaPressed = button.ariaPressed === "false" ? "true" : "false";
  const gone = hidden();
  for (const part of $("[data-m]")) part.classList.toggle("off", gone.includes(part.dataset.m));
  for (const view of views) view.signal("hidden", gone).runAsync();
}
function alone(button) {
  const others = $(".legend button").filter((other) => other !== button);
  const all = others.every((other) => other.ariaPressed === "false");
  for (const other of others) other.ariaPressed = String(all);
  button.ariaPressed = "false"; // toggled on again, which tells the charts too
  toggle(button);
}
function light(method) {
  const lit = method || kept;
  for (const part of $("[data-m]")) part.classList.toggle("lit", part.dataset.m === lit);
  for (const view of views) view.signal("lit", lit).runAsync();
}
function keep(method) {
  kept = kept === method ? "" : method;
  light("");
}
for (const button of $(".legend button")) {
  button.disabled = false;
  button.addEventListener("click", () => toggle(button));
  button.addEventListener("dblclick", () => alone(button));
  button.addEventListener("pointerenter", () => light(button.ariaPressed === "true" ? button.value : ""));
  button.addEventListener("pointerleave", () => light(""));
  button.addEventListener("focus", () => light(button.ariaPressed === "true" ? button.value : ""));
  button.addEventListener("blur", () => light(""));
}
for (const part of $("[data-m]")) {
  part.addEventListener("pointerenter", () => light(part.dataset.m));
  part.addEventListener("pointerleave", () => light(""));
  part.querySelector("th")?.addEventListener("click", () => keep(part.dataset.m));
}

// Charts: one specification for each kind of axes, a data set a panel.
const axis = () => document.querySelector(".axis input:checked").value;
async function draw() {
  const { specs, panels, small, diagrams: pooled } = read("charts");
  const options = {
    ast: true, // Vega's interpreter, so that the page needs no eval
    actions: false,
    renderer: "svg",
    logLevel: 1, // errors; an empty layer (all hidden) is no news
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  async function plot() {
    for (const [index, { kind, label, datasets }] of panels.entries()) {
      const target = document.getElementById(`chart-${index}`);
      const spec = { ...specs[axis()][kind], datasets, description: label };
      const { view } = await vegaEmbed(target, spec, options);
      views[index]?.finalize();
      views[index] = view.signal("hidden", hidden()).signal("lit", kept);
      await view.runAsync();
    }
  }
  await plot();
  const switches = document.querySelector(".axis");
  switches.hidden = false;
  switches.addEventListener("change", plot);
  for (const [index, diagram] of pooled.entries()) {
    const target = document.getElementById(`diagram-${index}`);
    const datasets = { bins: say(target, diagram, chosen()) };
    const spec = { ...small[diagram.kind], datasets, description: diagram.label };
    const { view } = await vegaEmbed(target, spec, options);
    diagrams.push({ view, target, diagram });
  }
  document.documentElement.dataset.charts = "drawn";
}
draw();

// Paper has no summaries to open: the tables of numbers are printed all.
addEventListener("beforeprint", () => $("details.wide").forEach((part) => (part.open = true)));

// The long table, unpacked here from the page itself: nothing is fetched.
async function unpack() {
  const bytes = Uint8Array.from(atob(read("long-table")), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(stream).text();
  for (const link of $("a[download]")) {
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.hidden = false;
  }
  return text;
}
function records(text) {
  const lines = [[]];
  for (const [, cell, end] of text.matchAll(/("(?:[^"]|"")*"|[^",\n]*)(,|\n)/g)) {
    lines.at(-1).push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end === "\n") lines.push([]);
  }
  const [names, ...rows] = lines;
  return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
}

// Where a number is from: every reading behind it, chosen from lists or by a click on the number.
const network = document.getElementById("network");
const metric = document.getElementById("metric");
const digits = (text) => (text === "" ? "" : Number(Number(text).toPrecision(6)).toString());
const text = unpack();
let rows;
async function inspect() {
  rows ??= records(await text);
  const { command, seconds } = read("origins");
  const wanted = rows.filter((row) =>
    row.metric === metric.value &&
    [row.data, row.model, row.method, row.target_sparsity].join("\t") === network.value);
  const lines = wanted.map((row) => [
    row.subset || "(the whole)",
    row.seed === "" ? "all" : row.seed,
    row.value === "" ? row.why : digits(row.value),
    digits(row.stderr), row.n, digits(row.dense_value),
    row.subset ? "" : seconds[row.digest.slice(0, 12)] ?? "",
    row.subset ? "" : row.digest.slice(0, 12),
  ]);
  document.querySelector("#readings tbody").replaceChildren(...lines.map((cells) => {
    const line = document.createElement("tr");
    line.append(...cells.map((cell, i) => {
      const part = document.createElement(i ? "td" : "th");
      part.textContent = cell;
      return part;
    }));
    return line;
  }));
  const digests = [...new Set(wanted.map((row) => row.digest).filter(Boolean))];
  document.getElementById("again").textContent = lines.length
    ? digests.map((digest) => `${command} --only ${digest.slice(0, 12)}`).join("\n")
    : "Nothing was read here.";
}
network.closest("details").addEventListener("toggle", inspect);
for (const list of [network, metric]) list.addEventListener("change", inspect);
for (const cell of $("tr[data-network] td")) {
  const head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
  if (!head.dataset.metric) continue;
  cell.classList.add("open");
  cell.addEventListener("click", () => {
    [network.value, metric.value] = [cell.parentElement.dataset.network, head.dataset.metric];
    network.closest("details").open = true;
    inspect();
    network.closest("details").scrollIntoView({ block: "start" });
    network.focus({ preventScroll: true });
  });
}
