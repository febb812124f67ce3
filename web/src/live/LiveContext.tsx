import { createContext, use, useEffect, useMemo, useSyncExternalStore, type ReactNode } from "react";
import { api, STREAM_PATH, withQuery } from "../api/client";
import { LiveConnection, type OpenSource } from "./connection";
import { clockOf, type ClockSample, type Freshness, type FreshnessMeter } from "./freshness";
import { useSession } from "./SessionContext";
import { browserOf, shared } from "./sharedStream";
import type { LiveState } from "./state";

const LiveContext = createContext<LiveConnection | null>(null);

const openStream: OpenSource = (lastEventId) =>
  new EventSource(withQuery(STREAM_PATH, { last_event_id: lastEventId || undefined }));

/** All tabs of a browser that show the same to the same person have one stream, where the browser can share it. */
function openConnection(group: string): LiveConnection {
  const browser = browserOf(window, group);
  return new LiveConnection(browser === null ? openStream : shared(openStream, browser));
}

/** Opens the one stream of the page, for as long as it is mounted. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const { name, may } = useSession();
  const group = JSON.stringify([name, may.has("persons")]);
  const connection = useMemo(() => openConnection(group), [group]);
  useEffect(() => connection.start(), [connection]);
  useEffect(() => keepTime(connection.meter), [connection]);
  return <LiveContext value={connection}>{children}</LiveContext>;
}

const CLOCK_SAMPLES = 5;
const CLOCK_EVERY_MS = 300_000;
const CLOCK_RETRY_MS = 10_000;

/** Learns what the gateway's clock shows, now and every few minutes. Returns what ends that. */
function keepTime(meter: FreshnessMeter): () => void {
  const ended = new AbortController();
  const learn = async (): Promise<void> => {
    const samples: ClockSample[] = [];
    while (samples.length < CLOCK_SAMPLES) {
      const asked = performance.now();
      const { now } = await api.clock(ended.signal);
      samples.push({ asked, answered: performance.now(), shown: Date.parse(now) });
    }
    meter.setClock(clockOf(samples));
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const turn = async (): Promise<void> => {
    const learnt = await learn().then(
      () => true,
      () => false, // the gateway is away: there is nothing to measure either
    );
    if (!ended.signal.aborted) timer = setTimeout(() => void turn(), learnt ? CLOCK_EVERY_MS : CLOCK_RETRY_MS);
  };
  void turn();
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

/** How quickly purchases are seen here; null before the first. */
export function useFreshness(): Freshness | null {
  const { meter } = useLiveConnection();
  return useSyncExternalStore(meter.subscribe, meter.getState);
}

export function useLiveConnection(): LiveConnection {
  const connection = use(LiveContext);
  if (connection === null) throw new Error("useLive is used outside of LiveProvider");
  return connection;
}

/** A part of the live state; draws again only when that part changes, so select by reference. */
export function useLive<T>(select: (state: LiveState) => T): T {
  const connection = useLiveConnection();
  return useSyncExternalStore(connection.subscribe, () => select(connection.getState()));
}
