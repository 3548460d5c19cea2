/** The page around the model: load it, take input, show what it answers. */

import { backends, load } from "../edgepack.js";
import { AudioField } from "./audiofield.js";
import { element, formatBytes } from "./elements.js";
import { keepPageOnDrop } from "./filedrop.js";
import { ImageField } from "./imagefield.js";
import { NumbersField } from "./numbersfield.js";
import { extent, isPictureShape, pixelRange } from "./ranges.js";
import { bestLabel, showMeasured, showResults } from "./results.js";

const SAMPLES = 8;
const $ = (id) => document.getElementById(id);
const base = new URL("..", import.meta.url);

let model;
let fields = [];
let answering; // the promise of the last answer
let looping = false;
let again = false;

function complain(error) {
  $("alert").textContent = error ? error.message : "";
  $("alert").hidden = !error;
}

async function start(backend) {
  const next = await load({
    backend,
    baseUrl: base,
    onProgress: ({ loaded, total }) => {
      $("loading").textContent = `Loading the model: ${formatBytes(loaded)} of ${formatBytes(total)}`;
    },
  });
  const previous = model;
  model = next;
  await answering;
  await previous?.dispose();
  $("backend").value = model.backend;
  $("skipped").textContent = model.skipped.map((each) => `${each.backend} cannot run here: ${each.reason}`).join("\n");
  $("skipped").hidden = model.skipped.length === 0;
}

/** Ask the model, now or when it is done with what it was asked before; a live camera asks again and again. */
async function run(error) {
  complain(error);
  again = !error;
  if (error || looping) return;
  looping = true;
  while (again) {
    again = false;
    answering = answer();
    await answering;
    if (!fields.some((field) => field.live)) continue;
    await new Promise(requestAnimationFrame);
    again = true;
  }
  looping = false;
}

async function answer() {
  const missing = fields.filter((field) => !field.ready).map((field) => field.entry.name);
  const live = fields.some((field) => field.live);
  $("status").setAttribute("aria-live", live ? "off" : "polite");
  if (missing.length) {
    retract(missing.length < fields.length ? `Still empty: ${missing.join(", ")}` : "");
    return;
  }
  try {
    const inputs = Object.fromEntries(fields.map((field) => [field.entry.name, field.value()]));
    const begin = performance.now();
    const outputs = await model.predict(inputs);
    const milliseconds = performance.now() - begin;
    showResults($("results"), model, outputs);
    const best = element("bdi", { textContent: bestLabel(outputs) ?? "Done" }); // a label may be written from right to left
    $("status").replaceChildren(best, ` · ${milliseconds.toFixed(1)} ms on ${model.backend}`);
  } catch (problem) {
    complain(problem);
    retract("");
    for (const field of fields) field.stop();
  }
}

/** Take the last answer away: it is not that of what is entered now. */
function retract(words) {
  $("results").replaceChildren();
  $("status").textContent = words;
}

async function busy(words, work) {
  const controls = [$("backend"), $("self-test")];
  for (const control of controls) control.disabled = true;
  $("verdict").className = "";
  $("verdict").textContent = words;
  $("measured").replaceChildren();
  $("measured").removeAttribute("tabindex");
  complain();
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    for (const control of controls) control.disabled = false;
    if ($("verdict").textContent === words) $("verdict").textContent = "";
  }
}

function changeBackend() {
  const wanted = $("backend").value;
  return busy(`Loading on ${wanted} …`, async () => {
    try {
      await start(wanted);
    } finally {
      $("backend").value = model.backend;
    }
    await run();
  });
}

function selfTest() {
  return busy("Testing …", async () => {
    const result = await model.selfTest({
      onProgress: ({ done, total }) => ($("verdict").textContent = `Testing: ${done} of ${total}`),
    });
    $("verdict").className = result.passed ? "good" : "bad";
    const reasons = Object.entries(result.outputs).flatMap(([name, each]) => each.failures.map((text) => `${name}: ${text}`));
    $("verdict").textContent = result.passed
      ? `✓ Passed on ${result.backend}: ${result.samples} samples agree with the original model.`
      : `✗ Failed on ${result.backend}: ${reasons.join("; ")}`;
    showMeasured($("measured"), result);
  });
}

function offerBackends() {
  const known = Object.entries(model.manifest.backends ?? {});
  const offers = known.length ? known : backends.map((name) => [name, ""]);
  const options = offers.map(([name, reason]) =>
    element("option", { value: name, textContent: reason ? `${name}: ${reason}` : name, disabled: Boolean(reason) }),
  );
  $("backend").replaceChildren(...options);
  $("backend").value = model.backend;
}

/** Sound and pictures as such; what was not declared is shown as a picture where the samples leave no doubt. */
function fieldFor(entry, number, golden) {
  const samples = golden.map(({ inputs }) => inputs[entry.name].data);
  const usual = entry.dtype === "float32" && isPictureShape(entry.shape) ? pixelRange(extent(samples)) : undefined;
  const range = entry.image ? [0, 255] : usual;
  const Kind = entry.audio ? AudioField : range ? ImageField : NumbersField;
  return new Kind({ entry, changed: run, number, range, samples });
}

function showSamples(golden) {
  const pictured = fields.find((field) => field.thumbnail);
  const buttons = golden.slice(0, SAMPLES).map(({ inputs }, index) => {
    const face = pictured ? pictured.thumbnail(inputs[pictured.entry.name]) : index + 1;
    const button = element("button", { type: "button" }, face);
    button.setAttribute("aria-label", `Sample ${index + 1}`);
    button.addEventListener("click", () => {
      for (const field of fields) field.show(inputs[field.entry.name]);
      run();
    });
    return button;
  });
  $("sample-list").replaceChildren(...buttons);
  $("samples").hidden = false;
}

function describe() {
  const { artifact, files, precision, download } = model.manifest;
  const weight = files.filter((file) => artifact.includes(file.path)).reduce((sum, file) => sum + file.bytes, 0);
  const total = download ? `, ${formatBytes(download.compressed)} to download in all` : "";
  $("facts").textContent = `${precision} model of ${formatBytes(weight)}${total}. ${$("facts").textContent}`;
}

async function keepOffline() {
  const worker = navigator.serviceWorker;
  if (!worker) return; // only https and localhost have it
  const registration = await worker.register(new URL("sw.js", base));
  const offer = () => ($("update").hidden = !(registration.waiting && worker.controller));
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
  offer();
  $("reload").addEventListener("click", () => {
    worker.addEventListener("controllerchange", () => location.reload());
    registration.waiting?.postMessage("activate");
  });
  if (!worker.controller) await new Promise((taken) => worker.addEventListener("controllerchange", taken, { once: true }));
  await keepRuntime();
  $("offline").hidden = false;
}

/** A first visit loads its runtime before there is a service worker, and not always the files that this one knows to keep. */
async function keepRuntime() {
  const folder = new URL("runtime/", base).href;
  const loaded = performance.getEntriesByType("resource").map((each) => each.name).filter((name) => name.startsWith(folder));
  await Promise.all([...new Set(loaded)].map(async (url) => (await fetch(url)).arrayBuffer()));
}

async function main() {
  keepPageOnDrop();
  $("backend").addEventListener("change", changeBackend);
  $("self-test").addEventListener("click", selfTest);
  addEventListener("pagehide", () => fields.forEach((field) => field.stop()));
  await start("auto");
  $("loading").textContent = "Loading the samples";
  const golden = await model.golden();
  describe();
  offerBackends();
  fields = model.inputs.map((entry, number) => fieldFor(entry, number, golden));
  showSamples(golden);
  $("fields").replaceChildren(...fields.map((field) => field.root));
  $("run").addEventListener("click", () => run());
  $("run").hidden = fields.every((field) => field.thumbnail); // pictures and sounds run by themselves
  $("loading").hidden = true;
  $("main").hidden = false;
}

try {
  await main();
} catch (error) {
  $("loading").hidden = true;
  complain(error);
}
keepOffline().catch((error) => console.info("No offline use:", error.message));
