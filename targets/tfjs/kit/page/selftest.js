/**
 * The self-test that runs by itself: on ?backend=NAME, or on every backend that the build did not see fail.
 *
 * For people it is a page. For a program that drives a browser, the title begins with PASS or FAIL in the end, and #result
 * has data-passed and, as JSON, {passed, backends: {NAME: {passed, samples, outputs} | {passed, error}}}.
 * It passes when something ran and nothing that ran missed the bundle's gate; a backend may be one that this browser lacks.
 */

import { load } from "../edgepack.js";
import { element } from "./elements.js";
import { showMeasured } from "./results.js";

const $ = (id) => document.getElementById(id);
const base = new URL("..", import.meta.url);

async function test(backend) {
  let model;
  try {
    model = await load({ backend, baseUrl: base, fallback: false });
    return await model.selfTest();
  } catch (error) {
    return { passed: false, error: error.message };
  } finally {
    await model?.dispose();
  }
}

function show(backend, result) {
  const reasons = Object.entries(result.outputs ?? {}).flatMap(([name, each]) => each.failures.map((text) => `${name}: ${text}`));
  const words = result.passed
    ? `✓ ${result.samples} samples agree with the original model.`
    : result.error
      ? `– cannot run here: ${result.error}`
      : `✗ ${reasons.join("; ")}`;
  const measured = element("div", { role: "region", ariaLabel: `What was measured on ${backend}` });
  if (result.outputs) showMeasured(measured, result);
  $("backends").append(element("h3", { textContent: backend }), element("p", { textContent: words }), measured);
}

function conclude(passed, words, backends) {
  const verdict = `${passed ? "PASS" : "FAIL"}: ${words}`;
  $("result").textContent = JSON.stringify({ passed, backends }, null, 2);
  $("result").dataset.passed = passed;
  $("verdict").textContent = verdict;
  document.title = verdict;
}

async function main() {
  const any = await load({ baseUrl: base });
  const { name, version } = any.manifest;
  const asked = new URLSearchParams(location.search).get("backend");
  const results = {};
  await any.dispose();
  for (const backend of asked ? [asked] : any.backends) {
    results[backend] = await test(backend);
    show(backend, results[backend]);
  }
  const ran = Object.values(results).filter((result) => !result.error);
  conclude(ran.length > 0 && ran.every((result) => result.passed), `${name} ${version}`, results);
}

main().catch((error) => conclude(false, error.message, {}));
