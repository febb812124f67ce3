import type { Snapshot, TickerEntry } from "../api/types";

/** Without a snapshot for so long (the gateway sends one a second) figures no longer count as live. */
export const STALE_AFTER_MS = 5_000;
export const TICKER_ROWS = 40;

/** `stale`: the stream is open, but the gateway has no figures. `lost`: there is no stream. */
export type Connection = "connecting" | "live" | "stale" | "lost";

export interface LiveState {
  connection: Connection;
  snapshot: Snapshot | null;
  /** When the newest snapshot came, epoch milliseconds of this machine. */
  receivedAt: number | null;
  /** When the next attempt is due, while the connection is lost. */
  retryAt: number | null;
  attempts: number;
  /** Why there are no figures, while the connection is stale. */
  reason: string | null;
  /** Newest first. */
  arrivals: readonly TickerEntry[];
}

export type LiveEvent =
  | { type: "snapshot"; snapshot: Snapshot; at: number }
  | { type: "arrivals"; arrivals: readonly TickerEntry[] }
  | { type: "stale"; reason: string }
  | { type: "lost"; retryAt: number }
  | { type: "retrying" };

export const INITIAL: LiveState = {
  connection: "connecting",
  snapshot: null,
  receivedAt: null,
  retryAt: null,
  attempts: 0,
  reason: null,
  arrivals: [],
};

/** Only a snapshot makes figures live; an open connection that says nothing does not. */
export function reduce(state: LiveState, event: LiveEvent): LiveState {
  switch (event.type) {
    case "snapshot":
      return {
        ...withArrivals(state, event.snapshot.ticker),
        connection: "live",
        snapshot: event.snapshot,
        receivedAt: event.at,
        retryAt: null,
        attempts: 0,
        reason: null,
      };
    case "arrivals":
      return withArrivals(state, event.arrivals);
    case "stale":
      return { ...state, connection: "stale", retryAt: null, attempts: 0, reason: event.reason };
    case "lost":
      return { ...state, connection: "lost", retryAt: event.retryAt, attempts: state.attempts + 1 };
    case "retrying":
      return { ...state, retryAt: null };
  }
}

/** The gateway repeats entries around a reconnect: an entry is shown once. */
function withArrivals(state: LiveState, arrivals: readonly TickerEntry[]): LiveState {
  const known = new Set(state.arrivals.map(({ id }) => id));
  const fresh = arrivals.filter((arrival) => !known.has(arrival.id) && known.add(arrival.id));
  if (fresh.length === 0) return state;
  return { ...state, arrivals: [...fresh.reverse(), ...state.arrivals].slice(0, TICKER_ROWS) };
}

/** 1, 2, 4, 8, then 15 s, each up to a fifth shorter so that many pages do not return in one moment. */
export function retryDelay(attempts: number, random: number): number {
  return Math.min(15_000, 1_000 * 2 ** attempts) * (1 - 0.2 * random);
}
