"use strict";

// A value of the form as the text of a JSON value. A number goes as it was typed, so that a large
// integer stays exact; what is no number goes as a string, and the server says what is wrong.
const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const SHOWN = 10;

// The page's own texts escape more than JSON must.
function plain(literal) {
  return JSON.stringify(JSON.parse(literal));
}

function literal(field) {
  const select = field.querySelector("select");
  if (select && select.value !== "other") return plain(select.value);
  const text = field.querySelector("input").value;
  if (text === "" && (field.dataset.nullable || field.dataset.kind !== "text")) return "null";
  if (field.dataset.kind !== "text" && NUMBER.test(text.trim())) return text.trim();
  return JSON.stringify(text);
}

function entries(form) {
  const fields = [...form.querySelectorAll(".field")];
  return fields.map((field) => [plain(field.dataset.name), literal(field)]);
}

function bodyOf(form) {
  const row = entries(form).map(([name, value]) => `${name}: ${value}`);
  return `{"rows": [{${row.join(", ")}}]}`;
}

function urlOf(form) {
  return new URL(form.dataset.path, new URL(".", location.href)).href;
}

function curl(form) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const key = form.dataset.secured ? ` \\\n  -H "authorization: Bearer $AFTERFIT_KEY"` : "";
  return `curl -s ${quoted(urlOf(form))} \\\n  -H 'content-type: application/json'${key} \\\n` +
    `  --data ${quoted(bodyOf(form))}`;
}

function python(form) {
  const words = { null: "None", true: "True", false: "False" };
  const row = entries(form).map(([name, value]) => `    ${name}: ${words[value] ?? value},`);
  const key = form.dataset.secured
    ? `,\n    "authorization": "Bearer " + os.environ["AFTERFIT_KEY"]` : "";
  return [
    "import json",
    ...(key ? ["import os"] : []),
    "import urllib.request",
    "",
    "row = {",
    ...row,
    "}",
    "request = urllib.request.Request(",
    `    ${JSON.stringify(urlOf(form))},`,
    `    json.dumps({"rows": [row]}).encode(),`,
    `    {"content-type": "application/json"${key}},`,
    ")",
    "with urllib.request.urlopen(request) as answer:",
    `    print(json.load(answer)["predictions"])`,
  ].join("\n");
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

// The input of "other…", which booleans do not have.
function revealOther(field) {
  const select = field.querySelector("select");
  const other = select && field.querySelector("input");
  if (other) other.hidden = select.value !== "other";
}

function note(field, text, wrong) {
  field.querySelector(".note").textContent = text;
  field.classList.toggle("wrong", Boolean(wrong));
}

function remark(field) {
  const value = Number(literal(field));
  const { low, high, kind } = field.dataset;
  const select = field.querySelector("select");
  const outside = kind === "number" && literal(field) !== "null" && low !== undefined &&
    (value < Number(low) || value > Number(high));
  if (outside) note(field, "outside of the reference range: served and flagged");
  else if (select && select.value === "other") note(field, "not known: served and flagged");
  else note(field, "");
}

function refresh(form) {
  const section = form.closest("section");
  section.querySelector(".curl").textContent = curl(form);
  section.querySelector(".python").textContent = python(form);
}

function share(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function chances(probabilities) {
  const list = element("div", "", "chances");
  const sorted = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  for (const [word, value] of sorted.slice(0, SHOWN)) {
    const bar = element("progress", "");
    bar.max = 1;
    bar.value = value;
    bar.setAttribute("aria-label", word);
    list.append(element("span", word), bar, element("span", share(value)));
  }
  if (sorted.length > SHOWN) list.append(element("span", `and ${sorted.length - SHOWN} more`));
  return list;
}

function raw(text) {
  const details = document.createElement("details");
  details.append(element("summary", "The whole answer"), element("pre", text));
  return details;
}

function showAnswer(result, answer, took, text) {
  const [first] = answer.predictions;
  const said = "value" in first ? first.value : first.label;
  result.append(element("p", String(said), "said"));
  result.append(element("p", `${took} · event ${first.id}`, "took"));
  if (first.probabilities) result.append(chances(first.probabilities));
  result.append(raw(text));
}

function showFailure(form, result, status, body, took) {
  result.classList.add("failed");
  result.append(element("p", body.error ?? "The server gave no answer.", "said"));
  result.append(element("p", status ? `status ${status} · ${took}` : took, "took"));
  for (const problem of body.fields ?? []) {
    const found = [...form.querySelectorAll(".field")].find(
      (field) => problem.path === `$.rows[0].${JSON.parse(field.dataset.name)}`,
    );
    if (found) note(found, problem.message, true);
    else result.append(element("p", `${problem.path}: ${problem.message}`, "took"));
  }
}

async function send(form) {
  const result = form.closest("section").querySelector(".result");
  const button = form.querySelector("button");
  const headers = { "content-type": "application/json" };
  const key = form.querySelector(".key");
  if (key && key.value) headers.authorization = `Bearer ${key.value}`;
  form.querySelectorAll(".field").forEach(remark);
  button.disabled = true;
  const start = performance.now();
  const spent = () => `${(performance.now() - start).toFixed(1)} ms round trip`;
  let status = 0;
  try {
    const response = await fetch(urlOf(form), { method: "POST", headers, body: bodyOf(form) });
    const text = await response.text();
    const timing = response.headers.get("server-timing");
    const took = timing ? `${spent()} · ${timing}` : spent();
    status = response.status;
    result.replaceChildren();
    result.classList.remove("failed");
    const body = JSON.parse(text);
    if (response.ok) showAnswer(result, body, took, text);
    else showFailure(form, result, status, body, took);
  } catch (error) {
    result.replaceChildren();
    showFailure(form, result, status, {}, `${error}`);
  }
  result.hidden = false;
  button.disabled = false;
}

function prepare(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.addEventListener("input", (event) => {
    const field = event.target.closest(".field");
    if (!field) return;
    revealOther(field);
    remark(field);
    refresh(form);
  });
  form.addEventListener("reset", () => {
    setTimeout(() => {
      for (const field of form.querySelectorAll(".field")) {
        revealOther(field);
        note(field, "");
      }
      form.closest("section").querySelector(".result").hidden = true;
      refresh(form);
    });
  });
  refresh(form);
  form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
}

for (const form of document.forms) prepare(form);
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.nextElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
