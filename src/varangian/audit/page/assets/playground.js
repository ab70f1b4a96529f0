// The playground: one point to drag, every rule's answer beside it.

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const FARTHEST = 1e9;

const playground = (room) => {
  const find = (part) => room.querySelector(`[data-part="${part}"]`);
  const plane = room.dataset.plane ? JSON.parse(room.dataset.plane) : null;
  const [plot, attacker] = [find("plot"), find("attacker")];
  const first = plane ? plane.honest : inventedCloud(1);
  const scene = {
    honest: first,
    attacker: null,
    liars: Math.max(1, plane ? plane.b : 2),
    declared: plane ? plane.f : 2,
  };
  let view;
  let start;
  let rules;
  let worst;
  let seed = 1;

  const redraw = () => {
    const n = scene.honest.length + scene.liars;
    const mostProven = scene.liars <= scene.declared && n > 2 * scene.declared;
    const centre = view.toScreen(mean(scene.honest));
    rules.forEach(({ rule, parts, output, line }, place) => {
      const result = answered(rule, scene);
      worst[place] = Math.max(worst[place] ?? 0, result.coefficient ?? 0);
      parts.update(result, worst[place], mostProven && !result.why ? rule.kappa(n, scene.declared) : null);
      output.classList.toggle("silent", Boolean(result.why));
      line.classList.toggle("silent", Boolean(result.why));
      if (result.why) return;
      const [left, top] = atEdge(view.toScreen(result.answer));
      moveTo(output, [left, top]);
      dress(line, { x1: centre[0], y1: centre[1], x2: left, y2: top });
    });
    const [x, y] = scene.attacker;
    moveTo(attacker, atEdge(view.toScreen(scene.attacker)));
    attacker.setAttribute("aria-label", `The attacker, at x ${told(x)}, y ${told(y)}`);
    for (const [part, value] of Object.entries({ x, y, liars: scene.liars, declared: scene.declared }))
      find(part).value = value;
    show(find("floor"), mostProven ? r(n, scene.declared) : Infinity);
    show(find("n"), n);
  };

  const move = (place) => {
    scene.attacker = view.rounded(place);
    redraw();
  };

  const announce = (event = "") => {
    const results = rules
      .map(({ rule }) => [answered(rule, scene).coefficient, rule.name])
      .filter(([value]) => value !== undefined)
      .sort((a, b) => b[0] - a[0]);
    const [most, least] = [results[0], results[results.length - 1]];
    find("told").textContent =
      `${event} ${most[1]} is moved furthest, by a coefficient of ${told(most[0])}; ${least[1]} least, by ${told(least[0])}.`;
  };

  const furnish = () => {
    rules = rulesFor(Number((1.5 * Math.sqrt(spread(scene.honest))).toPrecision(2))).map((rule, place) => {
      const output = drawn("g", {}, mark(place));
      const line = drawn("line");
      const parts = ruleRow(rule, place, {
        onToggle: (shown) => [output, line].forEach((part) => part.classList.toggle("hidden", !shown)),
        onAttack: () => {
          move(worstPlace(rule, scene, view));
          announce(`The worst point found against ${rule.name}.`);
        },
      });
      return { rule, output, line, parts };
    });
    find("rules").replaceChildren(...rules.map(({ parts }) => parts.row));
    find("outputs").replaceChildren(...rules.map(({ output }) => output));
    find("lines").replaceChildren(...rules.map(({ line }) => line));
  };

  const open = (honest, lie) => {
    scene.honest = honest;
    view = windowOn(honest, lie);
    start = view.rounded(lie ?? add(view.centre, times(view.unit, [2.8, -1.5])));
    scene.attacker = start;
    worst = [];
    const circles = honest.map((point) => {
      const [cx, cy] = view.toScreen(point);
      return drawn("circle", { cx, cy, r: 6, "data-x": point[0], "data-y": point[1] });
    });
    find("honest").replaceChildren(...circles);
    moveTo(find("mean"), view.toScreen(view.centre));
    moveTo(find("origin"), view.toScreen([0, 0]));
    furnish();
    redraw();
  };

  const under = (event) => {
    const screen = plot.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(screen);
    return view.toPlane([Math.min(WIDE, Math.max(0, x)), Math.min(HIGH, Math.max(0, y))]);
  };

  let dragging = false;
  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && !attacker.contains(event.target)) return;
    event.preventDefault();
    dragging = true;
    plot.setPointerCapture(event.pointerId);
    attacker.focus({ preventScroll: true });
    move(under(event));
  });
  plot.addEventListener("pointermove", (event) => dragging && move(under(event)));
  for (const end of ["pointerup", "pointercancel"])
    plot.addEventListener(end, () => {
      if (dragging) announce();
      dragging = false;
    });

  attacker.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    move(step ? add(scene.attacker, times(view.unit * (event.shiftKey ? 1 : 0.1), step)) : start);
  });
  attacker.addEventListener("keyup", (event) => {
    if (STEPS[event.key] || event.key === "Home") announce();
  });

  const limited = (field, least, most) => {
    const value = find(field).valueAsNumber;
    return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : null;
  };
  for (const axis of ["x", "y"])
    find(axis).addEventListener("change", () => {
      const place = ["x", "y"].map((field) => limited(field, -FARTHEST, FARTHEST));
      scene.attacker = place.map((value, k) => value ?? scene.attacker[k]);
      redraw();
      announce();
    });
  for (const count of ["liars", "declared"])
    find(count).addEventListener("change", () => {
      const least = count === "liars" ? 1 : 0;
      scene[count] = Math.round(limited(count, least, scene.honest.length) ?? scene[count]);
      worst = [];
      redraw();
      announce();
    });
  find("again").addEventListener("click", () => {
    seed += 1;
    open(inventedCloud(seed), null);
    announce("Another, invented cloud.");
  });

  open(first, plane ? plane.liar : null);
  room.classList.add("ready");
};

document.querySelectorAll("[data-playground]").forEach(playground);
