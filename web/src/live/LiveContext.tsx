import { createContext, use, useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import { STREAM_PATH, withQuery } from "../api/client";
import { LiveConnection } from "./connection";
import type { LiveState } from "./state";

const LiveContext = createContext<LiveConnection | null>(null);

/** Opens the one stream of the page, for as long as it is mounted. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const [connection] = useState(
    () =>
      new LiveConnection(
        (lastEventId) => new EventSource(withQuery(STREAM_PATH, { last_event_id: lastEventId || undefined })),
      ),
  );
  useEffect(() => connection.start(), [connection]);
  return <LiveContext value={connection}>{children}</LiveContext>;
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
