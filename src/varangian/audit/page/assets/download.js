// Numbers to take away: made here, sent nowhere.

const save = (name, kind, text) => {
  const link = made("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: kind })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

// A cell that a spreadsheet would take for a formula is text.
const cellText = (cell) => {
  const data = cell.querySelector("data");
  const text = data ? data.value : cell.textContent;
  const safe = !data && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const asCsv = (table) =>
  [...table.rows].map((row) => [...row.cells].map(cellText).join(",")).join("\n") + "\n";

const fileName = (text, ending) =>
  `${text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60)}.${ending}`;

const button = (words, label, act) => {
  const pressed = made("button", { type: "button", class: "save", "aria-label": label }, words);
  pressed.addEventListener("click", act);
  return pressed;
};

document.querySelectorAll("figure").forEach((figure) => {
  const table = figure.querySelector("table[data-csv]");
  const title = (figure.querySelector("h3") || figure.closest("section").querySelector("h2")).textContent;
  figure.append(button("Download CSV", `${title}: the numbers as CSV`, () => save(fileName(title, "csv"), "text/csv", asCsv(table))));
});

const whole = () => save("report.json", "application/json", JSON.parse(document.getElementById("report").textContent));
document.querySelector('[data-part="tools"]').append(button("Download JSON", "The whole report as JSON", whole));

// Paper cannot be clicked: what is folded is open there.
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => {
  opened = folded();
  opened.forEach((part) => part.setAttribute("open", ""));
});
addEventListener("afterprint", () => opened.forEach((part) => part.removeAttribute("open")));
