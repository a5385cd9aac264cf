/** Times and durations for people; documents keep RFC 3339 and seconds. */

/** `4.2 s`, `3 min`, `5 h`, `2 d`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `85 µs`, `1.2 ms`, `340 ms`, and from a second on as formatSeconds: how long one request took. */
export function formatLatency(seconds: number): string {
  const [value, unit] = seconds < 0.9995e-3 ? [seconds * 1e6, 'µs'] : [seconds * 1e3, 'ms'];
  if (!(value < 999.5)) return formatSeconds(seconds);
  return `${value.toFixed(unit === 'ms' && value < 9.95 ? 1 : 0)} ${unit}`;
}

/** `2026-11-22 10:15:00Z (3 min)`: the moment, and how long ago it was. */
export function formatSince(time: string, nowMs: number): string {
  const milliseconds = Date.parse(time);
  if (Number.isNaN(milliseconds)) return time;
  return `${formatTime(time)} (${formatSeconds((nowMs - milliseconds) / 1000)})`;
}

/** `2026-11-22 10:15:00Z`; a text that is no time is returned as it is. */
export function formatTime(time: string): string {
  const milliseconds = Date.parse(time);
  if (Number.isNaN(milliseconds)) return time;
  return new Date(milliseconds)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/u, 'Z');
}

/** How long ago a time was; Infinity: never, or it is no time. */
export function secondsSince(time: string | null, nowMs: number): number {
  const ms = time === null ? NaN : Date.parse(time);
  return Number.isNaN(ms) ? Infinity : Math.max(0, (nowMs - ms) / 1000);
}
