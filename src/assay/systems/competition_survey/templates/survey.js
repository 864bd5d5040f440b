// Hides questions that do not apply yet, and lets an exclusive option stand alone. The form works
// without this script: the server leaves out what does not apply.
"use strict";
document.documentElement.classList.add("js");

function values(question) {
  const form = document.forms.section;
  const named = [...form.elements].filter((e) => e.name === question && e.type !== "fieldset");
  const kind = document.getElementById("q-" + question)?.dataset.kind;
  const given = named.filter((e) => !/radio|checkbox/.test(e.type) || e.checked)
    .map((e) => e.value.trim()).filter((v) => v !== "");
  const shown = document.getElementById("q-" + question)?.hidden ? [] : given;
  if (kind === "multi") return shown;
  if (shown.length === 0) return null;
  if (kind === "bool") return shown[0] === "true";
  return kind === "int" || kind === "number" || kind === "likert" ? Number(shown[0]) : shown[0];
}

function holds(node) {
  if (typeof node === "boolean") return node;
  const [what, ...of] = node;
  if (what === "and") return of.every(holds);
  if (what === "or") return of.some(holds);
  if (what === "not") return !holds(of[0]);
  const value = values(of[0]);
  const is = (x) => (Array.isArray(value) ? value.includes(x) : value === x);
  if (what === "==") return is(of[1]);
  if (what === "!=") return value !== null && value.length !== 0 && !is(of[1]);
  return of[1].some(is); // in
}

function update() {
  for (const q of document.querySelectorAll("[data-show-if]")) {
    q.hidden = !holds(JSON.parse(q.dataset.showIf));
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.type === "checkbox" && box.checked) {
    for (const other of box.form.querySelectorAll('input[type="checkbox"]')) {
      const apart = other !== box && other.name === box.name;
      if (apart && ("alone" in box.dataset || "alone" in other.dataset)) other.checked = false;
    }
  }
  update();
});
document.addEventListener("input", update);
addEventListener("pageshow", update);
if (document.forms.section) update();
