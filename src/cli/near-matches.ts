const MATCHES_MAX = 3;

/** The words of `known` that a mistyped `word` probably meant, nearest first; at most three. */
export function nearMatches(word: string, known: readonly string[]): string[] {
  const wanted = word.toLowerCase();
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  return known
    .map((candidate) => ({candidate, distance: distanceTo(wanted, candidate.toLowerCase())}))
    .filter(({distance}) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, MATCHES_MAX)
    .map(({candidate}) => candidate);
}

function distanceTo(wanted: string, candidate: string): number {
  const distance = levenshtein(wanted, candidate);
  // Part of a name is meant as that name, `space` as LOG_SPACE, but after a mere slip of a finger.
  return wanted.length >= 3 && candidate.includes(wanted) ? Math.min(distance, 1.5) : distance;
}

function levenshtein(a: string, b: string): number {
  let previous = Array.from({length: b.length + 1}, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + same,
        ),
      );
    }

    previous = current;
  }

  return previous[b.length] ?? 0;
}
