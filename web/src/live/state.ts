import type { Snapshot, Summary, TickerEntry, Update } from "../api/types";
import { merged, readingOf, type Reading } from "./pulse";

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
  /** Those that came last, as they happened and for the first time; not what a first snapshot tells of. */
  fresh: readonly TickerEntry[];
  /** The first snapshot since the page was opened, or since the tables were built anew. */
  first: Snapshot | null;
  /** When the stream came (back) to life, epoch milliseconds of this machine. */
  liveSince: number | null;
  /** The totals of the newest snapshots. */
  readings: readonly Reading[];
  /** Since when records wait and none is worked off; null while the figures follow. */
  stillSince: number | null;
}

/** Records that wait, with none worked off, for so long mean that the figures stand still. */
const STILL_AFTER_MS = 5_000;

/** Whether the stream brings figures that do not follow the purchases, since whoever counts them is away. */
export const standsStill = ({ stillSince, receivedAt }: LiveState): boolean =>
  stillSince !== null && receivedAt !== null && receivedAt - stillSince >= STILL_AFTER_MS;

export const isLive = (state: LiveState): boolean => state.connection === "live" && !standsStill(state);

export type LiveEvent =
  | { type: "snapshot"; snapshot: Snapshot; at: number }
  | { type: "update"; update: Update; at: number }
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
  fresh: [],
  first: null,
  liveSince: null,
  readings: [],
  stillSince: null,
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
        first: firstOf(state.first, event.snapshot),
        liveSince: state.connection === "live" ? state.liveSince : event.at,
        readings: merged(state.readings, [readingOf(event.snapshot.summary)]),
        stillSince: stillSince(state, event.snapshot, event.at),
        retryAt: null,
        attempts: 0,
        reason: null,
      };
    case "update":
      return withUpdate(state, event.update, event.at);
    case "arrivals":
      return withArrivals(state, event.arrivals, true);
    case "stale":
      return { ...state, connection: "stale", retryAt: null, attempts: 0, reason: event.reason };
    case "lost":
      return { ...state, connection: "lost", retryAt: event.retryAt, attempts: state.attempts + 1 };
    case "retrying":
      return { ...state, retryAt: null };
  }
}

/** Figures of now into the snapshot. The rates are drawn from snapshots, which come at even distances. */
function withUpdate(state: LiveState, { summary, top }: Update, at: number): LiveState {
  if (state.snapshot === null || state.connection !== "live") return state;
  const snapshot = { ...state.snapshot, summary, top: { ...state.snapshot.top, ...top } };
  return { ...state, snapshot, receivedAt: at, stillSince: stillSince(state, snapshot, at) };
}

/** What is counted only ever rises: where it has fallen, the tables were built anew. */
const firstOf = (first: Snapshot | null, now: Snapshot): Snapshot =>
  first === null || now.summary.buyers < first.summary.buyers ? now : first;

function stillSince({ snapshot, stillSince }: LiveState, { summary }: Snapshot, at: number): number | null {
  const still = summary.lag !== null && summary.lag > 0 && snapshot !== null && !movesOn(snapshot.summary, summary);
  return still ? (stillSince ?? at) : null;
}

/** Repeats and bad rows are worked off too, and move no figure of sales. */
const movesOn = (before: Summary, now: Summary): boolean =>
  now.events !== before.events ||
  now.dead_letters > before.dead_letters ||
  (before.lag !== null && now.lag !== null && now.lag < before.lag);

/** The gateway repeats entries around a reconnect: an entry is shown once. */
function withArrivals(state: LiveState, arrivals: readonly TickerEntry[], asTheyHappened = false): LiveState {
  const known = new Set(state.arrivals.map(({ id }) => id));
  const fresh = arrivals.filter((arrival) => !known.has(arrival.id) && known.add(arrival.id));
  if (fresh.length === 0) return state;
  return { ...state, fresh: asTheyHappened ? fresh : [], arrivals: [...fresh.toReversed(), ...state.arrivals].slice(0, TICKER_ROWS) };
}

/** 1, 2, 4, 8, then 15 s, each up to a fifth shorter so that many pages do not return in one moment. */
export function retryDelay(attempts: number, random: number): number {
  return Math.min(15_000, 1_000 * 2 ** attempts) * (1 - 0.2 * random);
}
