// The rules, by the formulas of the library: (points, f) -> point.

// A search among subsets is given up after so many parts of them, or for more points.
const SUBSETS = 20_000;
const SEARCHABLE = 64;

const middle = (column) => {
  const half = column.length >> 1;
  return column.length % 2 ? column[half] : (column[half - 1] + column[half]) / 2;
};

const trimmed = (column, f) => {
  const kept = column.slice(f, column.length - f);
  return total(kept) / kept.length;
};

// The mean of the n - f values nearest the median; of two as near, the lower is kept.
const aroundMiddle = (column, f) => {
  const [centre, keep] = [middle(column), column.length - f];
  let low = 0;
  while (low < f && Math.abs(column[low + keep] - centre) < Math.abs(column[low] - centre)) low += 1;
  return total(column.slice(low, low + keep)) / keep;
};

const krumScores = (points, f) =>
  table(points).map((row) => total(row.sort((a, b) => a - b).slice(1, points.length - f - 1)));

const multiKrum = (m) => (points, f) =>
  meanOver(points, lowest(krumScores(points, f), m(points.length, f)));

// The first subset, in lexicographic order, of n - f points with the least largest distance. What is wider than
// the best so far is given up; the search starts from the best set of a point and its nearest.
const leastDiameter = (points, f) => {
  if (points.length > SEARCHABLE) return null;
  const distances = table(points);
  const size = points.length - f;
  const widthOf = (places) => Math.max(...places.map((a) => Math.max(...places.map((b) => distances[a][b]))));
  let least = Math.min(...distances.map((row) => widthOf(lowest(row, size))));
  let [best, visited] = [null, 0];
  const extend = (chosen, next, width) => {
    visited += 1;
    if (visited > SUBSETS || width > least || (best && width === least)) return;
    if (chosen.length === size) {
      [best, least] = [chosen, width];
      return;
    }
    for (let place = next; place <= points.length - (size - chosen.length); place += 1)
      extend([...chosen, place], place + 1, chosen.reduce((most, other) => Math.max(most, distances[place][other]), width));
  };
  extend([], 0, 0);
  return visited > SUBSETS ? null : meanOver(points, best);
};

// How hard the points pull at z: the gaps to those elsewhere, the sum of their unit vectors, how many lie on z.
const pullAt = (points, z) => {
  const gaps = points.map((point) => subtract(point, z)).filter((gap) => length(gap) > 0);
  const force = gaps.map((gap) => times(1 / length(gap), gap)).reduce(add, [0, 0]);
  return { gaps, force, here: points.length - gaps.length };
};

// What a move adds to the sum of distances, term by term, so that a huge distance drowns nothing.
const added = (points, z, move) =>
  total(
    points.map((point) => {
      const gap = subtract(point, z);
      const lengths = length(gap) + length(subtract(gap, move));
      return lengths && dot(move, subtract(move, times(2, gap))) / lengths;
    }),
  );

// The point of least sum of distances: one that holds against the pull of all others, or else Newton's steps
// from the best of them, halved until they descend.
const geometricMedian = (points) => {
  const sums = points.map((z) => total(points.map((point) => Math.sqrt(squared(point, z)))));
  let z = points[lowest(sums, 1)[0]];
  for (let step = 0; step < 200; step += 1) {
    const { gaps, force, here } = pullAt(points, z);
    const left = length(force) - here;
    if (left <= 1e-12 * points.length) return z;
    let move = here ? [0, 0] : newton(gaps, force);
    if (dot(move, force) <= 0) {
      const stiffness = total(gaps.map((gap) => 1 / length(gap)));
      move = times(left / length(force) / stiffness, force);
    }
    while (added(points, z, move) > 0) move = times(0.5, move);
    if (added(points, z, move) === 0) return z;
    z = add(z, move);
  }
  return z;
};

const newton = (gaps, force) => {
  let [xx, xy, yy] = [0, 0, 0];
  for (const [x, y] of gaps) {
    const cube = Math.hypot(x, y) ** 3;
    xx += (y * y) / cube;
    xy -= (x * y) / cube;
    yy += (x * x) / cube;
  }
  const determinant = xx * yy - xy * xy;
  const move = [yy * force[0] - xy * force[1], xx * force[1] - xy * force[0]];
  return determinant > 0 ? times(1 / determinant, move) : [0, 0];
};

// From the origin, the last round's output: one mean of differences, none longer than the radius.
const centeredClipping = (radius) => (points) =>
  mean(points.map((point) => times(Math.min(1, radius / (length(point) || radius)), point)));

// Every point becomes the mean of the n - f nearest to it, itself included.
const nearestNeighborMixing = (points, f) =>
  table(points).map((row) => meanOver(points, lowest(row, points.length - f)));

// The k = floor(2 f (n - f) / n) longest points are shortened to the next one.
const adaptiveClipping = (points, f) => {
  const n = points.length;
  const level = points.map(length).sort((a, b) => b - a)[Math.floor((2 * f * (n - f)) / n)];
  return points.map((point) => (length(point) > level ? times(level / length(point), point) : point));
};

const median = byCoordinate(middle);
const trimmedMean = byCoordinate(trimmed);
const after = (mixer, rule) => (points, f) => rule(mixer(points, f), f);

// The proven coefficients; r is the least that any rule can have.
const r = (n, f) => f / (n - 2 * f);
const kappaOfMedian = (n, f) => 4 * (1 + r(n, f)) ** 2;
const kappaOfTrimmedMean = (n, f) => 6 * r(n, f) * (1 + r(n, f));
const mixedFirst = (kappa) => (n, f) => ((8 * f) / (n - f)) * (kappa(n, f) + 1);
const none = () => null;

const majority = (f) => 2 * f + 1;

// Every rule by name; the least n that its theorem takes; what it does; what is proven of it. A radius is in
// the units of the points, so CenteredClipping takes one that suits them.
const rulesFor = (radius) => [
  { name: "Average", needs: (f) => f + 1, apply: mean, kappa: (n, f) => (f ? null : 0) },
  { name: "Median", needs: majority, apply: median, kappa: kappaOfMedian },
  { name: "TrimmedMean", needs: majority, apply: trimmedMean, kappa: kappaOfTrimmedMean },
  { name: "MeanAroundMedian", needs: majority, apply: byCoordinate(aroundMiddle), kappa: none },
  { name: "Krum", needs: (f) => 2 * f + 3, apply: multiKrum(() => 1), kappa: (n, f) => 6 * (1 + r(n, f)) },
  { name: "MultiKrum", needs: (f) => 2 * f + 3, apply: multiKrum((n, f) => n - f - 2), kappa: none },
  {
    name: "MinimumDiameterAveraging",
    needs: majority,
    apply: leastDiameter,
    kappa: (n, f) => (8 * f * f) / (n - f),
  },
  { name: "GeometricMedian", needs: majority, apply: geometricMedian, kappa: kappaOfMedian },
  { name: `CenteredClipping (radius ${radius})`, needs: majority, apply: centeredClipping(radius), kappa: none },
  { name: "AdaptiveClipping + Average", needs: majority, apply: after(adaptiveClipping, mean), kappa: none },
  {
    name: "NearestNeighborMixing + Median",
    needs: majority,
    apply: after(nearestNeighborMixing, median),
    kappa: mixedFirst(kappaOfMedian),
  },
  {
    name: "NearestNeighborMixing + TrimmedMean",
    needs: majority,
    apply: after(nearestNeighborMixing, trimmedMean),
    kappa: mixedFirst(kappaOfTrimmedMean),
  },
];
