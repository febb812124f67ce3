import type { Snapshot, TickerEntry } from "../api/types";

/** Without a snapshot for so long (the gateway sends one a second) figures no longer count as live. */
export const STALE_AFTER_MS = 5_000;
export const TICKER_ROWS = 40;

export type Connection = "connecting" | "live" | "lost";

/** An arrival with the stream's id of it, which keeps it apart from an equal one. */
export interface Arrival extends TickerEntry {
  key: string;
}

export interface LiveState {
  connection: Connection;
  snapshot: Snapshot | null;
  /** When the newest snapshot came, epoch milliseconds of this machine. */
  receivedAt: number | null;
  /** When the next attempt is due, while the connection is lost. */
  retryAt: number | null;
  attempts: number;
  /** Newest first. */
  arrivals: readonly Arrival[];
}

export type LiveEvent =
  | { type: "snapshot"; snapshot: Snapshot; at: number }
  | { type: "arrivals"; arrivals: readonly Arrival[] }
  | { type: "lost"; retryAt: number }
  | { type: "retrying" };

export const INITIAL: LiveState = {
  connection: "connecting",
  snapshot: null,
  receivedAt: null,
  retryAt: null,
  attempts: 0,
  arrivals: [],
};

/** Only a snapshot makes figures live; an open connection that says nothing does not. */
export function reduce(state: LiveState, event: LiveEvent): LiveState {
  switch (event.type) {
    case "snapshot":
      return {
        ...state,
        connection: "live",
        snapshot: event.snapshot,
        receivedAt: event.at,
        retryAt: null,
        attempts: 0,
      };
    case "arrivals":
      return withArrivals(state, event.arrivals);
    case "lost":
      return { ...state, connection: "lost", retryAt: event.retryAt, attempts: state.attempts + 1 };
    case "retrying":
      return { ...state, retryAt: null };
  }
}

/** The gateway repeats entries around a reconnect: an entry is shown once. */
function withArrivals(state: LiveState, arrivals: readonly Arrival[]): LiveState {
  const known = new Set(state.arrivals.map((arrival) => arrival.key));
  const fresh = arrivals.filter((arrival) => !known.has(arrival.key) && known.add(arrival.key));
  if (fresh.length === 0) return state;
  return { ...state, arrivals: [...fresh.reverse(), ...state.arrivals].slice(0, TICKER_ROWS) };
}

/** 1, 2, 4, 8, then 15 s, each up to a fifth shorter so that many pages do not return in one moment. */
export function retryDelay(attempts: number, random: number): number {
  return Math.min(15_000, 1_000 * 2 ** attempts) * (1 - 0.2 * random);
}
