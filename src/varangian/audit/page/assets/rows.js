// One row of the table for each rule: its mark, its answer, and a button that attacks it.

// A bar from a coefficient of 0.01 on the left to 1000 on the right, by powers of ten.
const barWidth = (value) => Math.min(100, Math.max(0, 20 * (Math.log10(value) + 2)));

// A name that may break between its words.
const breakable = (name) => name.split(/(?<=[a-z])(?=[A-Z])/).flatMap((word) => [made("wbr"), word]).slice(1);

const ruleRow = (rule, place, { onAttack, onToggle }) => {
  const parts = ["x", "y", "now", "worst", "proven"];
  const numbers = Object.fromEntries(parts.map((part) => [part, made("data", { "data-number": part })]));
  const box = made("input", { type: "checkbox", checked: "" });
  const icon = drawn("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" }, mark(place));
  const fill = drawn("rect", { height: 6, class: `style-${place % 6}` });
  const bar = drawn("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, fill);
  const attack = made("button", { type: "button", "aria-label": `Find the worst point against ${rule.name}` }, "Attack");
  box.addEventListener("change", () => onToggle(box.checked));
  attack.addEventListener("click", onAttack);
  const answer = made("td", { class: "answer" });
  const row = made(
    "tr",
    { "data-rule": rule.name },
    made("th", { scope: "row" }, made("label", {}, box, icon, made("span", {}, ...breakable(rule.name)))),
    answer,
    made("td", {}, numbers.now, bar),
    made("td", {}, numbers.worst),
    made("td", {}, numbers.proven),
    made("td", {}, attack),
  );
  const update = (result, worst, proven) => {
    if (result.why) answer.replaceChildren(result.why);
    else answer.replaceChildren("(", numbers.x, ", ", numbers.y, ")");
    show(numbers.x, result.answer ? result.answer[0] : null);
    show(numbers.y, result.answer ? result.answer[1] : null);
    show(numbers.now, result.coefficient ?? null);
    show(numbers.worst, worst ?? null);
    show(numbers.proven, proven);
    numbers.worst.parentElement.classList.toggle("broken", proven !== null && worst > proven);
    fill.setAttribute("width", result.why ? 0 : barWidth(result.coefficient));
    attack.disabled = Boolean(result.why);
  };
  return { row, update };
};
