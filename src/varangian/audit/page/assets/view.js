// From the plane of the points to the drawing and back, and the marks that stand on it.

const [WIDE, HIGH, MARGIN] = [720, 540, 16];

// A window around the honest mean, four and a half deviations wide to either side, and as far as the worst lie.
const windowOn = (honest, lie) => {
  const centre = mean(honest);
  const deviation = Math.sqrt(spread(honest) / 2) || 1;
  const unit = Math.max(deviation, lie ? Math.sqrt(squared(lie, centre)) / 3.5 : 0);
  const scale = WIDE / (9 * unit);
  const digits = Math.min(12, Math.max(0, 3 - Math.floor(Math.log10(unit))));
  return {
    centre,
    unit,
    toScreen: ([x, y]) => [WIDE / 2 + scale * (x - centre[0]), HIGH / 2 - scale * (y - centre[1])],
    toPlane: ([left, top]) => [centre[0] + (left - WIDE / 2) / scale, centre[1] - (top - HIGH / 2) / scale],
    holds: ([x, y]) => Math.abs(x - centre[0]) <= 4.5 * unit && Math.abs(y - centre[1]) <= 3.375 * unit,
    rounded: (place) => place.map((value) => Number(value.toFixed(digits))),
  };
};

// What lies beyond the window stands at its edge.
const atEdge = ([left, top]) => [
  Math.min(WIDE - MARGIN, Math.max(MARGIN, left)),
  Math.min(HIGH - MARGIN, Math.max(MARGIN, top)),
];

const moveTo = (element, [left, top]) => element.setAttribute("transform", `translate(${left} ${top})`);

// Marks told apart by shape and by colour: so many corners, turned, or drawn in to a star.
const polygon = (corners, turn = 0, inner = 1) => {
  const count = inner === 1 ? corners : 2 * corners;
  return Array.from({ length: count }, (_, k) => {
    const far = inner !== 1 && k % 2 ? 8 * inner : 8;
    const angle = 2 * Math.PI * (k / count + turn) - Math.PI / 2;
    return `${(far * Math.cos(angle)).toFixed(2)},${(far * Math.sin(angle)).toFixed(2)}`;
  }).join(" ");
};

const SHAPES = [
  polygon(32),
  polygon(4, 0.125),
  polygon(3),
  polygon(4),
  polygon(3, 0.5),
  polygon(5, 0, 0.45),
  polygon(6),
  polygon(5),
  polygon(4, 0, 0.35),
  polygon(3, 0.25),
  polygon(6, 0, 0.5),
  polygon(4, 0.125, 0.35),
];

const mark = (place) => drawn("polygon", { points: SHAPES[place], class: `mark style-${place % 6}` });
