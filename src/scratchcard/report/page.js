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
  for (const { view, target, diagram } of diagrams) {
    view.data("bins", say(target, diagram, rung)).runAsync();
  }
}
for (const control of $(".rungs")) {
  control.hidden = false;
  control.addEventListener("change", (event) => show(event.target.value));
}
if (chosen()) show(chosen());

// Charts: one specification, a data set a panel; the legend hides and lights a method in all.
const views = [];
const hidden = () => $(".legend button[aria-pressed=false]").map((button) => button.value);
function toggle(button) {
  button.ariaPressed = button.ariaPressed === "false" ? "true" : "false";
  for (const view of views) view.signal("hidden", hidden()).runAsync();
}
function alone(button) {
  const others = $(".legend button").filter((other) => other !== button);
  const all = others.every((other) => other.ariaPressed === "false");
  for (const other of others) other.ariaPressed = String(all);
  button.ariaPressed = "false"; // toggled on again, which tells the charts too
  toggle(button);
}
function light(method) {
  for (const view of views) view.signal("lit", method).runAsync();
}
for (const button of $(".legend button")) {
  button.disabled = false;
  button.addEventListener("click", () => toggle(button));
  button.addEventListener("dblclick", () => alone(button));
  button.addEventListener("pointerenter", () => light(button.ariaPressed === "true" ? button.value : ""));
  button.addEventListener("pointerleave", () => light(""));
}
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
  for (const [index, { log, label, datasets }] of panels.entries()) {
    const target = document.getElementById(`chart-${index}`);
    const spec = { ...specs[log ? "log" : "linear"], datasets, description: label };
    const { view } = await vegaEmbed(target, spec, options);
    views.push(view.signal("hidden", hidden()));
    await view.runAsync();
  }
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
}
unpack();
