"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  const text = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = button.dataset.done;
    } catch {
      getSelection().selectAllChildren(text); // no clipboard without HTTPS: to be copied by hand
    }
  });
}

const list = document.getElementById("violations");
if (list) {
  const state = document.getElementById("live");
  const source = new EventSource(list.dataset.events);
  source.onopen = () => { state.textContent = state.dataset.live; };
  source.onerror = () => {
    state.textContent = source.readyState === EventSource.CLOSED ? state.dataset.over : state.dataset.lost;
  };
  source.addEventListener("violation", (event) => {
    const told = JSON.parse(event.data);
    const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
    row.dataset.verdict = told.verdict;
    row.classList.add("new");
    row.querySelector("a").href = told.href;
    row.querySelectorAll("[data-cell]").forEach((cell, at) => { cell.textContent = told.cells[at]; });
    list.prepend(row);
    while (list.rows.length > Number(list.dataset.most)) list.lastElementChild.remove();
    document.getElementById("none").hidden = true;
    state.textContent = `${state.dataset.live} ${state.dataset.new} ${told.cells.join(", ")}`;
  });
}
