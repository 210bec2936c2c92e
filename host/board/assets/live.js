// Keeps a page up to date: when the server says that something changed, the page is fetched again, and its parts that
// differ are exchanged. Texts come as HTML that the server escaped.
"use strict";

(() => {
  const run = document.body.dataset.run;
  const connection = document.getElementById("connection");
  const shown = new Map();
  const PAUSE = 250;
  let source = null;
  let due = false;
  let busy = false;

  // Exchanges what differs from what was there before; what is open stays open.
  function exchange(before, after) {
    const open = [...before.querySelectorAll("details[open][id]")].map((details) => details.id);
    before.replaceChildren(...after.childNodes);
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  }

  // Rows stay where they are as long as they are the same, so that a selection in them stays, too.
  function exchangeRows(before, after) {
    const ids = (body) => [...body.rows].map((row) => row.id).join("\n");
    if (ids(before) !== ids(after)) {
      before.replaceChildren(...after.childNodes);
      return;
    }
    for (const row of [...after.rows]) {
      const old = document.getElementById(row.id);
      if (!old || old.outerHTML === row.outerHTML) continue;
      const chosen = old.querySelector("input:checked");
      if (chosen) row.querySelector("input").checked = true;
      old.replaceWith(row);
    }
  }

  function take(page) {
    for (const part of document.querySelectorAll("[data-part], [data-rows]")) {
      const next = page.getElementById(part.id);
      if (!next) continue;
      const text = next.innerHTML;
      if ((shown.get(part.id) ?? part.innerHTML) === text) continue;
      shown.set(part.id, text);
      if (part.hasAttribute("data-rows")) exchangeRows(part, next);
      else exchange(part, next);
    }
    // The first run of an empty board brings the table along.
    if (!run && !document.querySelector("[data-rows]") && page.querySelector("[data-rows]")) location.reload();
  }

  async function refresh() {
    if (busy) {
      due = true;
      return;
    }
    busy = true;
    const answer = await fetch(location.href).catch(() => null);
    if (answer) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok) take(page);
      else connection.textContent = page.querySelector("main p")?.textContent ?? "The board does not answer.";
      if (answer.ok) connection.textContent = "";
      document.dispatchEvent(new Event("lossmith:news"));
    }
    setTimeout(() => {
      busy = false;
      if (due) {
        due = false;
        refresh();
      }
    }, PAUSE);
  }

  // A browser has few connections to one server: pages that nobody sees hold none.
  function listen() {
    if (document.hidden) {
      source?.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource("/events");
    source.onopen = refresh;
    source.onmessage = (event) => {
      const runs = JSON.parse(event.data);
      if (runs === null || !run || runs.includes(run)) refresh();
    };
    source.onerror = () => {
      connection.textContent = "The board has ended, or does not answer; what is here is as it was last.";
    };
  }
  document.addEventListener("visibilitychange", listen);
  listen();
})();
