import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import { formatCount } from "../../format/numbers";
import { productTitle } from "../../format/product";
import { formatClock, formatDate } from "../../format/time";
import { afterPaint } from "../../live/freshness";
import { useLive, useLiveConnection } from "../../live/LiveContext";
import { useMay } from "../../live/SessionContext";
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
        <div className={styles.rows} data-paused={paused !== null}>
          <Rows arrivals={shown} />
        </div>
      )}
    </Panel>
  );
}

const CALM_MS = 260;
const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

/** The list slides down by what came in above: the compositor moves it, and nothing is laid out meanwhile. */
function Rows({ arrivals }: { arrivals: readonly TickerEntry[] }) {
  const list = useRef<HTMLOListElement>(null);
  const top = useRef<string | null>(null);
  const newest = arrivals[0]?.id ?? null;
  useLayoutEffect(() => {
    const before = top.current;
    top.current = newest;
    if (before === null || before === newest || reducedMotion.matches) return;
    const place = arrivals.findIndex(({ id }) => id === before);
    const row = list.current?.children[place];
    if (!(row instanceof HTMLElement)) return;
    list.current?.animate([{ transform: `translateY(-${row.offsetTop}px)` }, { transform: "none" }], {
      duration: CALM_MS,
      easing: "ease-out",
    });
  }, [arrivals, newest]);
  return (
    <ol ref={list} data-testid="ticker">
      {arrivals.map((arrival) => (
        <Row key={arrival.id} arrival={arrival} />
      ))}
    </ol>
  );
}

/** Measures how long after its arrival each purchase is painted, while the list moves and the page can be seen. */
function useMeasured(paused: boolean): void {
  const { meter } = useLiveConnection();
  const fresh = useLive((state) => state.fresh);
  useEffect(() => {
    const watch = (): void => {
      meter.watchFrom(performance.now());
    };
    watch();
    document.addEventListener("visibilitychange", watch);
    return () => {
      document.removeEventListener("visibilitychange", watch);
    };
  }, [meter, paused]);
  useEffect(() => {
    if (paused || fresh.length === 0) return;
    afterPaint((at) => {
      meter.seen(
        fresh.map(({ id, arrived_at }) => ({ id, arrivedAt: Date.parse(arrived_at) })),
        at,
      );
    });
  }, [meter, fresh, paused]);
}

const Row = memo(function Row({ arrival }: { arrival: TickerEntry }) {
  const money = useMoney();
  const persons = useMay("persons");
  const { user_id: userId, quantity } = arrival;
  return (
    <li className={styles.cell}>
      <span className={styles.product} title={productTitle(arrival)}>
        {quantity !== 1 && `${formatCount(quantity)} × `}
        {productTitle(arrival)}
      </span>
      <span className={`${styles.amount} number`} data-return={quantity < 0}>
        {money.exact(arrival.revenue)}
      </span>
      <span className={styles.buyer}>{persons && <Buyer userId={userId} />}</span>
      <time className={`${styles.time} number`} title={`bought ${formatDate(arrival.event_time)}`}>
        {formatClock(arrival.arrived_at)}
      </time>
    </li>
  );
});

function Buyer({ userId }: { userId: string | null }) {
  if (userId === null) return <span className={styles.anonymous}>anonymous</span>;
  return (
    <Link className="id" to={customerPath(userId)}>
      {userId}
    </Link>
  );
}
