// The page of `mvd serve`: sends what is dropped, shows what comes back, saves it in any format.
// Nothing is kept on the server, so saving sends the file again.
"use strict";
(() => {
  const KEPT = 6;  // cards on the page
  const by = (id) => document.getElementById(id);
  const drop = by("drop"), chosen = by("file"), options = by("options"), said = by("said");

  function say(text, wrong) {
    said.textContent = text;
    said.classList.toggle("wrong", Boolean(wrong));
  }

  function query(file, more) {
    const asked = new URLSearchParams({ name: file.name.slice(-255), ...more });
    for (const [name, value] of new FormData(options)) if (value) asked.set(name, value);
    return asked;
  }

  // Busy is no failure: it is said when to come back.
  async function send(what, file, asked) {
    for (;;) {
      const answer = await fetch(`${what}?${asked}`, { method: "POST", body: file });
      if (answer.ok) return answer;
      const wait = Number(answer.headers.get("Retry-After"));
      if (answer.status === 503 && wait) {
        say(`${file.name}: the service is busy, trying again in ${wait} s`);
        await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
        continue;
      }
      const told = await answer.json().catch(() => null);
      throw new Error(told ? told.error.message : `${answer.status} ${answer.statusText}`);
    }
  }

  function element(tag, text, attributes) {
    const made = Object.assign(document.createElement(tag), attributes);
    if (text) made.textContent = text;
    return made;
  }

  function panel({ caption, grid }) {
    const figure = element("figure");
    const data = element("script", JSON.stringify(grid), { type: "application/json", className: "grid" });
    figure.append(element("img", "", { alt: "" }), data, element("figcaption", caption));
    return figure;
  }

  function cardOf(file, view, facts) {
    const card = element("section", "", { className: "card" });
    card.dataset.up = "z";
    card.dataset.open = "yes";
    const header = element("header");
    const save = element("button", "download", { type: "button", className: "save" });
    save.addEventListener("click", () => download(file, save));
    header.append(element("h3", file.name), save,
      element("button", "turn in 3-D", { type: "button", className: "turn", hidden: true }));
    const panels = element("div", "", { className: "panels" });
    panels.append(...view.panels.map(panel));
    const rule = facts.low_rule ? `low rule ${facts.low_rule}, ` : "";
    card.append(header, panels, element("p", [`${rule}${facts.seconds} s`, ...facts.notes].join("; "),
      { className: "faint" }));
    return card;
  }

  async function show(file) {
    say(`${file.name}: upscaling`);
    try {
      const answer = await send("view", file, query(file));
      const card = cardOf(file, await answer.json(), JSON.parse(answer.headers.get("MVD-Facts")));
      by("cards").prepend(card);
      while (by("cards").children.length > KEPT) by("cards").lastChild.remove();
      window.mvdAdopt(card);
      say("");
    } catch (error) {
      say(`${file.name}: ${error.message}`, true);
    }
  }

  async function download(file, button) {
    button.disabled = true;
    try {
      const answer = await send("upscale", file, query(file, { format: by("format").value }));
      const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
      const link = element("a", "", { href: URL.createObjectURL(await answer.blob()), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      say(`saved ${name}`);
    } catch (error) {
      say(`${file.name}: ${error.message}`, true);
    }
    button.disabled = false;
  }

  async function showAll(files) {
    drop.classList.remove("over");
    for (const file of files) await show(file);
  }

  for (const type of ["dragenter", "dragover"]) addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    showAll([...event.dataTransfer.files]);
  });
  chosen.addEventListener("change", () => showAll([...chosen.files]));
  options.addEventListener("submit", (event) => event.preventDefault());
  for (const size of [64, 128, 256, 512, 1024]) {
    options.elements.to.append(element("option", String(size)));
  }
  (async () => {
    const formats = await (await fetch("formats")).json();
    by("format").append(...formats.items.map((f) => element("option", `${f.name} (${f.suffix})`, { value: f.name })));
    by("format").value = "stl";
    const { accepts } = (await (await fetch("status")).json()).summary;
    by("limits").textContent = `up to ${accepts.max_upload >> 20} MiB, ` +
      `${accepts.max_edge} voxels along an edge`;
  })().catch((error) => say(error.message, true));
})();
