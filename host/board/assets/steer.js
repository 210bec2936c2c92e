// Gives commands to a training at work, and shows its answers.
"use strict";

(() => {
  const section = document.getElementById("steering");
  if (!section) return;
  const address = `/session?${new URLSearchParams({ name: document.body.dataset.run })}`;
  const said = document.getElementById("steering-said");
  const state = document.getElementById("steering-state");
  const PAUSE = 1000;
  let asked = 0;

  function show(snapshot) {
    const live = snapshot.paused ? "paused" : "at work";
    const steps = `step ${snapshot["step-in-epoch"]} of ${snapshot["steps-per-epoch"]}`;
    const epoch = Math.min(snapshot.epoch + 1, snapshot.epochs);
    state.textContent = `The training is ${live}: epoch ${epoch} of ${snapshot.epochs}, ${steps}, revision ${snapshot.revision}.`;
    if (snapshot.candidate) state.textContent += ` Candidate ${snapshot.candidate}.`;
    section.hidden = false;
  }

  async function ask() {
    asked = Date.now();
    const answer = await fetch(address).catch(() => null);
    if (!answer?.ok) {
      section.hidden = true;
      return;
    }
    const response = await answer.json();
    if (response.answer === "status") show(response.snapshot);
  }

  async function command(request) {
    said.textContent = `${request.command}: waits for the answer …`;
    const body = JSON.stringify(request);
    const answer = await fetch(address, { method: "POST", body }).catch(() => null);
    if (!answer) said.textContent = "The board does not answer.";
    else if (!answer.ok) said.textContent = await answer.text();
    else {
      const response = await answer.json();
      said.textContent = response.text + (response.help ? `\nhelp: ${response.help}` : "");
    }
    ask();
  }

  section.addEventListener("click", (event) => {
    const { command: name, ask: question, weights, name: shadow } = event.target.dataset;
    if (!name || (question && !confirm(question))) return;
    const request = { command: name };
    if (weights !== undefined) request.weights = true;
    if (shadow !== undefined) request.name = shadow;
    command(request);
  });
  document.getElementById("steering-set").addEventListener("submit", (event) => {
    event.preventDefault();
    command({ command: "set", sets: [new FormData(event.target).get("set").trim()] });
  });
  document.addEventListener("lossmith:news", () => Date.now() - asked > PAUSE && ask());
  ask();
})();
