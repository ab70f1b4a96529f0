// Elements of the page. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

const drawn = (name, attributes = {}, ...children) => dress(document.createElementNS(SVG, name), attributes, children);
const made = (name, attributes = {}, ...children) => dress(document.createElement(name), attributes, children);

const dress = (element, attributes, children = []) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// A number for people, three digits long, and in full for who reads the page by a program.
const told = (value) => {
  if (value === null) return "–";
  if (!Number.isFinite(value)) return "infinite";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-9) return "0";
  if (size < 1e-3 || size >= 1e5) return value.toExponential(1).replace("e+", "e");
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
};
const show = (data, value) => {
  data.value = String(value);
  data.textContent = told(value);
};
