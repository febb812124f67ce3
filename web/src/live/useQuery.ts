import { useCallback, useEffect, useEffectEvent, useState } from "react";
import { isAbort } from "../api/client";

export interface Query<T> {
  /** The newest answer for this very key; kept while a later attempt fails. */
  data: T | undefined;
  error: Error | null;
  retry: () => void;
}

interface Refresh {
  everyMs: number;
  /** Asked before each refresh: where it has not changed since the last answer, nothing is fetched. */
  revision?: () => unknown;
}

const NEVER = Symbol("no answer yet");

/** Loads once a key, and again at most every `everyMs` while the page is visible and the revision moves. */
export function useQuery<T>(key: string, load: (signal: AbortSignal) => Promise<T>, refresh?: Refresh): Query<T> {
  const [answer, setAnswer] = useState<{ key: string; data: T | undefined; error: Error | null } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const everyMs = refresh?.everyMs;
  const onLoad = useEffectEvent(load);
  const revisionNow = useEffectEvent(() => refresh?.revision?.());

  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let answered: unknown = NEVER;

    const ask = async (): Promise<void> => {
      const revision = revisionNow();
      try {
        const data = await onLoad(controller.signal);
        answered = revision;
        setAnswer({ key, data, error: null });
      } catch (error) {
        if (isAbort(error)) return;
        answered = NEVER;
        setAnswer((last) => ({ key, data: last?.key === key ? last.data : undefined, error: error as Error }));
      }
    };
    const due = (): boolean => answered === NEVER || (!document.hidden && revisionNow() !== answered);
    const turn = async (): Promise<void> => {
      if (due()) await ask();
      if (everyMs !== undefined && !controller.signal.aborted) timer = setTimeout(() => void turn(), everyMs);
    };

    void turn();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, attempt]);

  const retry = useCallback(() => {
    setAttempt((count) => count + 1);
  }, []);
  const current = answer?.key === key ? answer : null;
  return { data: current?.data, error: current?.error ?? null, retry };
}
