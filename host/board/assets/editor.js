// The editor: loads and saves a source of a plugin, and shows beside it what the training makes of it.
"use strict";

(() => {
  const section = document.getElementById("editor");
  if (!section) return;
  const file = document.getElementById("editor-file");
  const text = document.getElementById("editor-text");
  const save = document.getElementById("editor-save");
  const said = document.getElementById("editor-said");
  const address = () => `/source?${new URLSearchParams({ name: document.body.dataset.run, file: file.value })}`;
  let before = "";
  let waitsAfter = null;

  const edits = () => [...document.querySelectorAll("#edits details.edit")];
  const number = (edit) => Number(edit.id.replace("edit-", ""));
  const last = () => Math.max(0, ...edits().map(number));

  async function load() {
    const answer = file.value === "" ? null : await fetch(address()).catch(() => null);
    const there = Boolean(answer?.ok);
    text.hidden = !there;
    save.disabled = !there;
    said.textContent = there || file.value === "" ? "" : "The file cannot be read.";
    if (there) before = text.value = await answer.text();
  }

  async function store() {
    const body = JSON.stringify({ before, text: text.value });
    const sent = text.value;
    waitsAfter = last();
    const answer = await fetch(address(), { method: "POST", body }).catch(() => null);
    said.className = answer?.ok ? "" : "problem";
    said.textContent = answer ? await answer.text() : "The board does not answer.";
    if (answer?.ok) before = sent;
  }

  // The newest edit since the file was saved, with its reason or its numbers.
  function tell() {
    if (waitsAfter === null) return;
    const newest = edits().filter((edit) => number(edit) > waitsAfter).pop();
    if (!newest) return;
    const state = newest.querySelector("summary").innerText;
    const reason = newest.querySelector("pre.reason")?.textContent ?? "";
    said.className = newest.classList.contains("refused") || newest.classList.contains("undone") ? "problem" : "";
    said.textContent = [state, reason].filter(Boolean).join("\n\n");
  }

  file.addEventListener("change", load);
  save.addEventListener("click", store);
  section.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      if (!save.disabled) store();
    }
  });
  document.addEventListener("lossmith:news", tell);
})();
