// Turns the pictures of a card into views that share one camera. Grids come as deflated packed bits
// (64 voxels of z a word, little bit order); surfaces are made here, when a card is first turned.
// One WebGL context draws all views, one after the other, into their own 2-D canvases.
"use strict";
(() => {
  let renderer = null;

  async function bitsOf(facts) {
    const deflated = Uint8Array.from(atob(facts.bits), (c) => c.charCodeAt(0));
    const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // One byte a voxel, with an empty border of one voxel around.
  function padded(bits, [X, Y, Z]) {
    const bytes = 8 * Math.ceil(Z / 64), dense = new Uint8Array((X + 2) * (Y + 2) * (Z + 2));
    for (let x = 0; x < X; x++) for (let y = 0; y < Y; y++) {
      const line = (x * Y + y) * bytes, out = ((x + 1) * (Y + 2) + y + 1) * (Z + 2) + 1;
      for (let b = 0; b < bytes; b++) {
        const byte = bits[line + b];
        if (byte) for (let i = 0; i < 8; i++) if (byte >> i & 1) dense[out + 8 * b + i] = 1;
      }
    }
    return dense;
  }

  // A quad for each face between an occupied and an empty voxel; corners are shared where `weld`.
  function quads(dense, [X, Y, Z], weld) {
    const sy = Z + 2, sx = (Y + 2) * sy, step = [sx, sy, 1];
    const positions = [], index = [];
    const corners = new Int32Array(weld ? (X + 3) * (Y + 3) * (Z + 3) : 0);  // number + 1, 0: none
    const corner = (x, y, z) => {
      const key = (x * (Y + 3) + y) * (Z + 3) + z;
      if (weld && corners[key]) return corners[key] - 1;
      positions.push(x - 1, y - 1, z - 1);
      if (weld) corners[key] = positions.length / 3;
      return positions.length / 3 - 1;
    };
    const at = [0, 0, 0];
    for (let x = 1; x <= X; x++) for (let y = 1; y <= Y; y++) {
      const line = x * sx + y * sy;
      for (let z = 1; z <= Z; z++) {
        if (!dense[line + z]) continue;
        for (let axis = 0; axis < 3; axis++) for (let side = 0; side < 2; side++) {
          if (dense[line + z + (side ? step[axis] : -step[axis])]) continue;
          at[0] = x;
          at[1] = y;
          at[2] = z;
          at[axis] += side;
          const u = (axis + 1) % 3, v = (axis + 2) % 3;
          const a = corner(at[0], at[1], at[2]);
          at[u]++;
          const b = corner(at[0], at[1], at[2]);
          at[v]++;
          const c = corner(at[0], at[1], at[2]);
          at[u]--;
          const d = corner(at[0], at[1], at[2]);
          if (side) index.push(a, b, c, a, c, d);
          else index.push(d, c, b, d, b, a);
        }
      }
    }
    return { positions: Float32Array.from(positions), index: Uint32Array.from(index) };
  }

  // Moves each corner to the mean of its neighbours, some times, but not far from where it was.
  function relax({ positions, index }, times, reach) {
    const ring = [0, 1, 2, 5];  // where a quad's four corners are among its six indices
    const start = positions.slice(), count = positions.length / 3;
    const sum = new Float32Array(3 * count), weight = new Float32Array(count);
    for (let time = 0; time < times; time++) {
      sum.fill(0);
      weight.fill(0);
      for (let q = 0; q < index.length; q += 6) {
        for (let k = 0; k < 4; k++) {
          const a = index[q + ring[k]], b = index[q + ring[(k + 1) % 4]];
          for (let i = 0; i < 3; i++) {
            sum[3 * a + i] += positions[3 * b + i];
            sum[3 * b + i] += positions[3 * a + i];
          }
          weight[a]++;
          weight[b]++;
        }
      }
      for (let c = 0; c < count; c++) for (let i = 0; i < 3; i++) {
        const p = 3 * c + i, moved = (positions[p] + sum[p] / weight[c]) / 2;
        positions[p] = Math.min(Math.max(moved, start[p] - reach), start[p] + reach);
      }
    }
  }

  function meshOf(facts, bits) {
    const surface = quads(padded(bits, facts.shape), facts.shape, !facts.cubes);
    if (!facts.cubes) relax(surface, 8, 0.8);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(surface.positions, 3));
    geometry.setIndex(new THREE.BufferAttribute(surface.index, 1));
    geometry.computeVertexNormals();
    const edge = Math.max(...facts.shape);
    geometry.translate(...facts.shape.map((n) => -n / 2));
    geometry.scale(1 / edge, 1 / edge, 1 / edge);
    const colour = new THREE.Color().setRGB(...facts.colour.map((c) => c / 255), "srgb");
    return new THREE.Mesh(geometry, new THREE.MeshLambertMaterial({ color: colour }));
  }

  function sceneOf(mesh, camera, up) {
    const scene = new THREE.Scene();
    const sky = new THREE.HemisphereLight(0xffffff, 0x8a8f99, 1.4);
    const lamp = new THREE.DirectionalLight(0xffffff, 1.9);
    sky.position.copy(up);
    scene.add(mesh, sky, lamp);
    return { scene, lamp };
  }

  function draw(view, camera) {
    const edge = Math.max(64, Math.round(view.canvas.clientWidth * Math.min(devicePixelRatio, 2)));
    if (view.canvas.width !== edge) view.canvas.width = view.canvas.height = edge;
    renderer.setSize(edge, edge, false);
    const right = new THREE.Vector3(1, 0, 0).applyQuaternion(camera.quaternion);
    view.lamp.position.copy(camera.position).addScaledVector(right, -2).addScaledVector(camera.up, 2);
    renderer.render(view.scene, camera);
    const pen = view.canvas.getContext("2d");
    pen.clearRect(0, 0, edge, edge);
    pen.drawImage(renderer.domElement, 0, 0);
  }

  async function turn(card, button) {
    button.disabled = true;
    button.textContent = "…";
    renderer ??= new THREE.WebGLRenderer({ alpha: true, antialias: true });
    const axis = "xyz".indexOf(card.dataset.up);
    const up = new THREE.Vector3().setComponent(axis, 1);
    const camera = new THREE.OrthographicCamera(-0.62, 0.62, 0.62, -0.62, 0.1, 10);
    const [a, e] = [-60, 22].map((degrees) => degrees * Math.PI / 180);
    camera.up.copy(up);
    camera.position.setComponent((axis + 1) % 3, 3 * Math.cos(a) * Math.cos(e));
    camera.position.setComponent((axis + 2) % 3, 3 * Math.sin(a) * Math.cos(e));
    camera.position.setComponent(axis, 3 * Math.sin(e));
    camera.lookAt(0, 0, 0);
    const views = [];
    for (const figure of card.querySelectorAll("figure")) {
      const data = figure.querySelector("script.grid");
      if (!data) continue;
      const facts = JSON.parse(data.textContent);
      const mesh = meshOf(facts, await bitsOf(facts));
      await new Promise((resolve) => setTimeout(resolve));
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", figure.querySelector("figcaption").textContent);
      figure.querySelector("img").replaceWith(canvas);
      views.push({ canvas, ...sceneOf(mesh, camera, up) });
    }
    const panels = card.querySelector(".panels");
    panels.classList.add("turning");
    const controls = new THREE.OrbitControls(camera, panels);
    controls.enablePan = false;
    controls.enableZoom = false;
    const drawAll = () => {
      controls.update();
      for (const view of views) draw(view, camera);
      card.dataset.camera = camera.position.toArray().map((v) => v.toFixed(4)).join(" ");
    };
    let waiting = false;
    const soon = () => {
      if (!waiting) requestAnimationFrame(() => { waiting = false; drawAll(); });
      waiting = true;
    };
    controls.addEventListener("change", soon);
    addEventListener("resize", soon);
    const zoom = (factor) => {
      camera.zoom *= factor;
      camera.updateProjectionMatrix();
      soon();
    };
    button.remove();
    for (const [text, factor] of [["+", 1.25], ["−", 0.8]]) {
      const more = document.createElement("button");
      more.textContent = text;
      more.title = factor > 1 ? "larger" : "smaller";
      more.addEventListener("click", () => zoom(factor));
      card.querySelector("header").append(more);
    }
    drawAll();
    card.dataset.ready = "yes";
  }

  function adopt(card) {
    const button = card.querySelector("button.turn");
    if (!button || !card.querySelector("script.grid")) return;
    button.hidden = false;
    button.addEventListener("click", () => turn(card, button).catch((error) => {
      button.textContent = "no 3-D here";
      console.error(error);
    }));
    if (card.dataset.open) button.click();
  }

  for (const card of document.querySelectorAll(".card")) adopt(card);
  window.mvdAdopt = adopt;  // for cards that come later, as those of `mvd serve`
})();
