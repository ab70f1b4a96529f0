// The honest points, and what an attacker and the rules make of them.

// A generator of numbers in [0, 1): the same cloud for the same seed, on every machine (mulberry32).
const uniform = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
  return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
};

// Ten points around (1.2, 0.8), rounded so that what is shown is what is computed.
const inventedCloud = (seed) => {
  const draw = uniform(seed);
  return Array.from({ length: 10 }, () => {
    const far = 0.75 * Math.sqrt(-2 * Math.log(1 - draw()));
    const angle = 2 * Math.PI * draw();
    return [1.2 + far * Math.cos(angle), 0.8 + far * Math.sin(angle)].map((value) => Number(value.toFixed(3)));
  });
};

const spread = (honest) => {
  const centre = mean(honest);
  return total(honest.map((point) => squared(point, centre))) / honest.length;
};

// |R - mean|^2 over the honest spread: what a proven kappa bounds.
const coefficient = (answer, honest) => squared(answer, mean(honest)) / spread(honest);

// What a rule answers where so many liars send the same point, or why it does not.
const answered = (rule, { honest, attacker, liars, declared }) => {
  const received = [...honest, ...Array(liars).fill(attacker)];
  const needed = rule.needs(declared);
  if (received.length < needed) return { why: `needs n ≥ ${needed}` };
  const answer = rule.apply(received, declared);
  return answer ? { answer, coefficient: coefficient(answer, honest) } : { why: "too many subsets" };
};

// The point of a grid, and then of ever finer steps around the best, that moves one rule furthest. The more points
// there are, the coarser the grid, so that nobody waits.
const worstPlace = (rule, scene, view) => {
  const harm = (attacker) => answered(rule, { ...scene, attacker }).coefficient ?? -1;
  let best = { place: scene.attacker, harm: harm(scene.attacker) };
  const look = (place) => {
    const found = view.holds(place) ? harm(place) : -1;
    if (found > best.harm) best = { place, harm: found };
  };
  const { centre, unit } = view;
  const around = (from, step, reach) => {
    for (let i = -reach; i <= reach; i += 1)
      for (let j = -reach; j <= reach; j += 1) look(add(from, [i * step, j * step]));
  };
  const reach = Math.max(3, Math.round(13 * Math.min(1, 40 / scene.honest.length)));
  around(centre, (4.5 * unit) / reach, reach);
  for (let step = (2 * unit) / reach; step > unit / 1000; step /= 2) around(best.place, step, 1);
  return best.place;
};
