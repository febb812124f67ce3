import { useMemo, useState } from "react";
import { useLiveConnection } from "./LiveContext";
import { settling } from "./revision";
import { useQuery, type Query } from "./useQuery";

const REFRESH_MS = 3_000;

/** Asks again every few seconds while new events are applied, and once after them. No answer is kept for longer than `everyMs`. */
export function useFigures<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = REFRESH_MS): Query<T> {
  const connection = useLiveConnection();
  const [revision] = useState(() => settling(everyMs));
  const events = (): unknown => connection.getState().snapshot?.summary.events;
  return useQuery(key, load, { everyMs, revision: () => revision(events(), performance.now()) });
}

/** The same query with its answer turned into something else, as long as it is the same answer. */
export function useMapped<T, U>({ data, error, retry }: Query<T>, map: (data: T) => U): Query<U> {
  const mapped = useMemo(() => (data === undefined ? undefined : map(data)), [data, map]);
  return { data: mapped, error, retry };
}
