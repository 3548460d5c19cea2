/** The page around the model: load it, take input, show what it answers. */

import { backends, load } from "../edgepack.js";
import { element, formatBytes, thumbnail } from "./elements.js";
import { ImageField } from "./imagefield.js";
import { NumbersField } from "./numbersfield.js";
import { showMeasured, showResults } from "./results.js";

const SAMPLES = 8;
const $ = (id) => document.getElementById(id);
const base = new URL("..", import.meta.url);

let model;
let fields = [];
let running = false;

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
  await model?.dispose();
  model = next;
  $("backend").value = model.backend;
  $("skipped").textContent = model.skipped.map((each) => `${each.backend} cannot run here: ${each.reason}`).join("\n");
  $("skipped").hidden = model.skipped.length === 0;
}

/** Ask the model, unless it is busy or an input is still empty; a live camera asks again and again. */
async function run(error) {
  complain(error);
  if (error || running || !model || !fields.every((field) => field.ready)) return;
  running = true;
  const live = fields.some((field) => field.live);
  $("status").setAttribute("aria-live", live ? "off" : "polite");
  try {
    const inputs = Object.fromEntries(fields.map((field) => [field.entry.name, field.value()]));
    const begin = performance.now();
    const outputs = await model.predict(inputs);
    const milliseconds = performance.now() - begin;
    showResults($("results"), model, outputs);
    const best = Object.values(outputs).find((output) => output.top)?.top[0].label;
    $("status").textContent = `${best === undefined ? "Done" : best} · ${milliseconds.toFixed(1)} ms on ${model.backend}`;
  } catch (problem) {
    complain(problem);
    for (const field of fields) field.stop();
  } finally {
    running = false;
  }
  if (fields.some((field) => field.live)) requestAnimationFrame(() => run());
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

function fieldFor(entry, number) {
  const Kind = entry.image ? ImageField : NumbersField;
  return new Kind(entry, run, number);
}

async function showSamples() {
  const golden = (await model.golden()).slice(0, SAMPLES);
  const image = model.inputs.find((entry) => entry.image);
  const buttons = golden.map(({ inputs }, index) => {
    const button = element("button", { type: "button" });
    button.setAttribute("aria-label", `Sample ${index + 1}`);
    if (image) button.append(thumbnail(inputs[image.name], image.shape[1], image.shape[2], image.image.channels === "grey"));
    else button.textContent = index + 1;
    button.addEventListener("click", () => {
      for (const field of fields) field.show(inputs[field.entry.name]);
      run();
    });
    return button;
  });
  for (const field of fields) field.learn?.(golden[0].inputs[field.entry.name]);
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
  if (!navigator.serviceWorker) return; // only https and localhost have it
  const registration = await navigator.serviceWorker.register(new URL("sw.js", base));
  const offer = () => ($("update").hidden = !(registration.waiting && navigator.serviceWorker.controller));
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
  offer();
  $("reload").addEventListener("click", () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
    registration.waiting?.postMessage("activate");
  });
}

async function main() {
  $("backend").append(...backends.map((name) => element("option", { value: name, textContent: name })));
  $("backend").addEventListener("change", changeBackend);
  $("self-test").addEventListener("click", selfTest);
  addEventListener("pagehide", () => fields.forEach((field) => field.stop()));
  await start("auto");
  describe();
  fields = model.inputs.map(fieldFor);
  $("fields").replaceChildren(...fields.map((field) => field.root));
  $("loading").hidden = true;
  $("main").hidden = false;
  await showSamples();
}

try {
  await main();
} catch (error) {
  $("loading").hidden = true;
  complain(error);
}
keepOffline().catch((error) => console.info("No offline use:", error.message));
