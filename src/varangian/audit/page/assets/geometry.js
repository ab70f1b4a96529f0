// Points of the plane, as [x, y].

const add = (a, b) => [a[0] + b[0], a[1] + b[1]];
const subtract = (a, b) => [a[0] - b[0], a[1] - b[1]];
const times = (scale, a) => [scale * a[0], scale * a[1]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const squared = (a, b) => dot(subtract(a, b), subtract(a, b));
const length = (a) => Math.sqrt(dot(a, a));
const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
const mean = (points) => times(1 / points.length, points.reduce(add));

// The squared distances between all points, as the library measures them: by direct differences.
const table = (points) => points.map((a) => points.map((b) => squared(a, b)));

// The places of the k lowest scores, ties to the lowest index, in the order of the indices.
const lowest = (scores, k) =>
  scores
    .map((score, place) => [score, place])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .slice(0, k)
    .map(([, place]) => place)
    .sort((a, b) => a - b);

const meanOver = (points, places) => mean(places.map((place) => points[place]));

// A rule that treats x and y by themselves, from what it does to one sorted column.
const byCoordinate = (reduce) => (points, f) =>
  [0, 1].map((axis) => reduce(points.map((point) => point[axis]).sort((a, b) => a - b), f));
