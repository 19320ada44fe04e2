/** What differs between two lists of lines: Myers' greedy algorithm ("An O(ND) difference algorithm", 1986). */

const MOST_DIFFERENCES = 1500;

/** Steps `{kind: "same" | "gone" | "new", line}` from one list to the other. `key` says which lines are equal. */
export function difference(before, after, key = (line) => line) {
  const old = before.map(key);
  const now = after.map(key);
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const middle = path(old.slice(start, old.length - end), now.slice(start, now.length - end));
  const steps = before.slice(0, start).map((line) => step("same", line));
  let [left, right] = [start, start];
  for (const kind of middle) {
    steps.push(step(kind, kind === "new" ? after[right] : before[left]));
    if (kind !== "new") left += 1;
    if (kind !== "gone") right += 1;
  }
  return steps.concat(before.slice(before.length - end).map((line) => step("same", line)));
}

function step(kind, line) {
  return { kind, line };
}

/** The kinds of steps of a shortest way; where that is too long, all of the old goes and all of the new comes. */
function path(old, now) {
  const furthest = new Map([[1, 0]]);
  const trace = [];
  for (let count = 0; count <= old.length + now.length; count += 1) {
    if (count > MOST_DIFFERENCES) return [...old.map(() => "gone"), ...now.map(() => "new")];
    trace.push(new Map(furthest));
    for (let k = -count; k <= count; k += 2) {
      let x = downwards(furthest, k, count) ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
      while (x < old.length && x - k < now.length && old[x] === now[x - k]) x += 1;
      furthest.set(k, x);
      if (x >= old.length && x - k >= now.length) return walkBack(trace, old.length, now.length);
    }
  }
  return [];
}

function downwards(furthest, k, count) {
  return k === -count || (k !== count && furthest.get(k - 1) < furthest.get(k + 1));
}

/** From the end back to the beginning: each round's step, and the equal lines that followed it. */
function walkBack(trace, x, y) {
  const kinds = [];
  for (let count = trace.length - 1; count > 0; count -= 1) {
    const k = x - y;
    const down = downwards(trace[count], k, count);
    const fromX = trace[count].get(down ? k + 1 : k - 1);
    const afterStep = down ? fromX : fromX + 1;
    for (; x > afterStep; x -= 1) kinds.push("same");
    kinds.push(down ? "new" : "gone");
    x = fromX;
    y = fromX - (down ? k + 1 : k - 1);
  }
  for (; x > 0; x -= 1) kinds.push("same");
  return kinds.reverse();
}

/** The steps with only so many equal lines around each difference; `{kind: "hidden", count}` stands for the rest. */
export function withContext(steps, context = 3) {
  const wanted = new Array(steps.length).fill(false);
  steps.forEach(({ kind }, at) => {
    if (kind === "same") return;
    for (let near = Math.max(0, at - context); near <= Math.min(steps.length - 1, at + context); near += 1)
      wanted[near] = true;
  });
  const shown = [];
  steps.forEach((item, at) => {
    if (wanted[at]) shown.push(item);
    else if (shown.at(-1)?.kind === "hidden") shown.at(-1).count += 1;
    else shown.push({ kind: "hidden", count: 1 });
  });
  return shown;
}
