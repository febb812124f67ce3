import { useEffect, useState } from "react";
import { formatCount } from "../format/numbers";
import { formatClock } from "../format/time";
import { useLive, useLiveConnection } from "../live/LiveContext";
import { standsStill } from "../live/state";
import { Link } from "../router/Link";
import { Button } from "../ui/Button";
import styles from "./StreamBanner.module.css";

/** Says so when the figures on the page are not live, how old they are, and when the next attempt is due. */
export function StreamBanner() {
  const connection = useLiveConnection();
  const state = useLive(({ connection }) => connection);
  const reason = useLive(({ reason }) => reason);
  const receivedAt = useLive(({ receivedAt }) => receivedAt);
  const retryAt = useLive(({ retryAt }) => retryAt);
  const still = useLive((live) => live.connection === "live" && standsStill(live));
  const waiting = useLive(({ snapshot }) => snapshot?.summary.lag ?? null);
  const stillSince = useLive((live) => live.stillSince);
  if (still) {
    return (
      <div className={styles.banner} role="alert" data-testid="not-live">
        <span>
          <strong>Purchases are not being counted.</strong>{" "}
          {stillSince !== null && `The figures are those of ${formatClock(stillSince)}; `}
          {/* Not read out: it changes every second. */}
          {waiting !== null && <span aria-hidden="true">{formatCount(waiting)} </span>}
          records are waiting.
        </span>
        <Link to="/system">See which component is down</Link>
      </div>
    );
  }
  if (state !== "lost" && state !== "stale") return null;
  return (
    <div className={styles.banner} role="alert" data-testid="not-live">
      <span>
        <strong>{state === "lost" ? "The live stream is lost" : `No live figures: ${reason ?? ""}`}.</strong>{" "}
        {receivedAt === null
          ? "No figures have arrived yet."
          : `The figures are those of ${formatClock(receivedAt)}; they are not updating.`}
      </span>
      {state === "lost" && (
        <>
          <span className="number" aria-hidden="true">
            {retryAt === null ? "Reconnecting…" : <Countdown key={retryAt} until={retryAt} />}
          </span>
          <Button onClick={connection.retryNow}>Try now</Button>
        </>
      )}
    </div>
  );
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now());
    }, 250);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return <>Next attempt in {Math.max(0, Math.ceil((until - now) / 1000))} s</>;
}
