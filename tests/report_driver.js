// Appended to a page under test: turns the first card, drags it, and leaves what happened in the DOM.
(async () => {
  const told = { errors: window.mvdErrors, before: null, after: null };
  try {
    const card = document.querySelector(".card");
    const button = card.querySelector("button.turn");
    if (button) button.click();
    for (let i = 0; i < 3000 && !card.dataset.ready; i++) await new Promise((r) => setTimeout(r, 20));
    told.ready = card.dataset.ready || "no";
    told.before = card.dataset.camera;
    told.canvases = card.querySelectorAll("canvas").length;
    const panels = card.querySelector(".panels");
    const send = (type, x, y) => panels.dispatchEvent(new PointerEvent(type, {
      pointerId: 1, pointerType: "mouse", isPrimary: true, button: 0, buttons: 1,
      clientX: x, clientY: y, pageX: x, pageY: y, bubbles: true }));
    panels.setPointerCapture = panels.releasePointerCapture = () => {};
    const hash = () => [...card.querySelectorAll("canvas")].map((c) => {
      const bytes = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      let sum = 0, drawn = 0;
      for (let i = 0; i < bytes.length; i++) sum = (sum * 31 + bytes[i]) | 0;
      for (let i = 3; i < bytes.length; i += 4) drawn += bytes[i] > 0;
      return { sum, share: drawn / (bytes.length / 4) };
    });
    told.drawn = hash();
    send("pointerdown", 100, 100);
    for (let i = 1; i <= 5; i++) send("pointermove", 100 + 12 * i, 100 + 4 * i);
    send("pointerup", 160, 120);
    await new Promise((r) => setTimeout(r, 300));
    told.after = card.dataset.camera;
    told.turned = hash();
    told.requests = performance.getEntriesByType("resource").map((e) => e.name)
      .filter((name) => !name.startsWith("data:"));
    told.wide = document.documentElement.scrollWidth > innerWidth + 1;
  } catch (error) { told.errors.push(String(error.stack || error)); }
  const out = document.createElement("script");
  out.id = "told";
  out.type = "application/json";
  out.textContent = JSON.stringify(told);
  document.body.append(out);
})();
