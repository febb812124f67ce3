/** Instants (RFC 3339 text or epoch milliseconds) in the viewer's locale and zone. */
export type Instant = string | number;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const date = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const formatClock = (at: Instant): string => clock.format(new Date(at));
export const formatDate = (at: Instant): string => date.format(new Date(at));
export const formatTimeOfDay = (at: Instant): string => timeOfDay.format(new Date(at));
export const formatMoment = (at: Instant): string => moment.format(new Date(at));

const MODEL_TIME = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z/;

/** When a model was trained, read from its version `YYYYMMDDTHHMMSSZ-<6 hex>`; null for any other version. */
export function modelTime(version: string): Date | null {
  const match = MODEL_TIME.exec(version);
  if (match === null) return null;
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}
