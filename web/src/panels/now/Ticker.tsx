import { memo, useEffect, useState } from "react";
import { formatCount } from "../../format/numbers";
import { productTitle } from "../../format/product";
import { formatClock, formatDate } from "../../format/time";
import { afterPaint } from "../../live/freshness";
import { useLive, useLiveConnection } from "../../live/LiveContext";
import { useMoney } from "../../live/ShopContext";
import type { TickerEntry } from "../../api/types";
import { Link } from "../../router/Link";
import { customerPath } from "../../router/route";
import { IconButton } from "../../ui/Button";
import { PauseIcon, PlayIcon } from "../../ui/icons";
import { Empty, Panel } from "../../ui/Panel";
import styles from "./Ticker.module.css";

/** Purchases as they arrive, newest first. It can be paused, to read or to scroll. */
export function Ticker({ className }: { className?: string | undefined }) {
  const arrivals = useLive((state) => state.arrivals);
  const [paused, setPaused] = useState<readonly TickerEntry[] | null>(null);
  const shown = paused ?? arrivals;
  useMeasured(paused !== null);
  return (
    <Panel
      title="Purchases"
      note="the newest, at most four a second"
      className={[styles.panel, className].join(" ")}
      actions={
        <IconButton
          label={paused ? "Go on" : "Pause"}
          aria-pressed={paused !== null}
          onClick={() => {
            setPaused(paused ? null : arrivals);
          }}
        >
          {paused ? <PlayIcon /> : <PauseIcon />}
        </IconButton>
      }
    >
      {shown.length === 0 ? (
        <Empty>No purchase has come since this page was opened.</Empty>
      ) : (
        <ol className={styles.rows} data-paused={paused !== null} data-testid="ticker">
          {shown.map((arrival) => (
            <Row key={arrival.id} arrival={arrival} />
          ))}
        </ol>
      )}
    </Panel>
  );
}

/** Measures how long after its arrival each purchase is painted. */
function useMeasured(paused: boolean): void {
  const { meter } = useLiveConnection();
  const fresh = useLive((state) => state.fresh);
  useEffect(() => {
    if (paused || fresh.length === 0) return;
    afterPaint((at) => {
      for (const { arrived_at } of fresh) meter.seen(Date.parse(arrived_at), at);
    });
  }, [meter, fresh, paused]);
}

const Row = memo(function Row({ arrival }: { arrival: TickerEntry }) {
  const money = useMoney();
  const { user_id: userId, quantity } = arrival;
  return (
    <li className={styles.row}>
      <div className={styles.cell}>
        <span className={styles.product} title={productTitle(arrival)}>
          {quantity !== 1 && `${formatCount(quantity)} × `}
          {productTitle(arrival)}
        </span>
        <span className={`${styles.amount} number`} data-return={quantity < 0}>
          {money.exact(arrival.revenue)}
        </span>
        <span className={styles.buyer}>
          {userId === null ? (
            <span className={styles.anonymous}>anonymous</span>
          ) : (
            <Link className="id" to={customerPath(userId)}>
              {userId}
            </Link>
          )}
        </span>
        <time className={`${styles.time} number`} title={`bought ${formatDate(arrival.event_time)}`}>
          {formatClock(arrival.arrived_at)}
        </time>
      </div>
    </li>
  );
});
