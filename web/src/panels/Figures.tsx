import type { ReactNode } from "react";
import type { Summary } from "../api/types";
import { averageMoney } from "../format/money";
import { formatCount, formatRate, formatWait } from "../format/numbers";
import { formatClock, formatMoment, modelTime } from "../format/time";
import { useLive } from "../live/LiveContext";
import { Link } from "../router/Link";
import { useMoney } from "../live/ShopContext";
import styles from "./Figures.module.css";

const NOT_KNOWN = "—";

/** The shop's figures as of the newest snapshot; faded while they are not live. */
export function Figures() {
  const live = useLive((state) => state.connection === "live");
  const summary = useLive((state) => state.snapshot?.summary ?? null);
  const money = useMoney();
  const show = (read: (summary: Summary) => string): string => (summary === null ? NOT_KNOWN : read(summary));
  return (
    <dl className={styles.strip} data-live={live} data-testid="figures" aria-label="Figures so far">
      <Figure
        id="revenue"
        name="Revenue so far"
        note={show(({ as_of }) => `as of ${formatClock(as_of)}`)}
        className={`${styles.wide} ${styles.revenue}`}
      >
        {show(({ revenue }) => money.exact(revenue))}
      </Figure>
      <Figure
        id="orders"
        name="Orders"
        note={show(({ orders, revenue }) =>
          orders === 0 ? NOT_KNOWN : `${money.exact(averageMoney(revenue, orders))} each`,
        )}
      >
        {show(({ orders }) => formatCount(orders))}
      </Figure>
      <Figure id="quantity" name="Pieces" note={show(({ events }) => `in ${formatCount(events)} lines`)}>
        {show(({ quantity }) => formatCount(quantity))}
      </Figure>
      <Figure id="buyers" name="Buyers" note="known customers">
        {show(({ buyers }) => formatCount(buyers))}
      </Figure>
      <Figure id="events_per_second" name="Events/s" note="over ten seconds">
        {show(({ events_per_second }) => formatRate(events_per_second))}
      </Figure>
      <Figure id="freshness" name="Freshness" note="sale to screen">
        {show(({ freshness_ms }) => (freshness_ms === null ? NOT_KNOWN : formatWait(freshness_ms)))}
      </Figure>
      <Figure
        id="dead_letters"
        name="Dead letters"
        note={<Link to="/system">what they are</Link>}
        alarm={summary !== null && summary.dead_letters > 0}
      >
        {show(({ dead_letters }) => formatCount(dead_letters))}
      </Figure>
      <ModelFigure version={summary?.model_version ?? null} />
    </dl>
  );
}

function ModelFigure({ version }: { version: string | null }) {
  const trained = version === null ? null : modelTime(version);
  return (
    <div className={`${styles.figure} ${styles.wide}`}>
      <dt>Model</dt>
      <dd className={styles.version} data-testid="figure-model">
        {version ?? "none"}
      </dd>
      <dd className={styles.note}>
        {version === null && "popular products are shown"}
        {trained !== null && `trained ${formatMoment(trained.getTime())}`}
      </dd>
    </div>
  );
}

interface FigureProps {
  id: string;
  name: string;
  note: ReactNode;
  alarm?: boolean;
  className?: string;
  children: ReactNode;
}

function Figure({ id, name, note, alarm = false, className, children }: FigureProps) {
  return (
    <div className={[styles.figure, className].join(" ")}>
      <dt>{name}</dt>
      <dd data-testid={`figure-${id}`} data-alarm={alarm}>
        {children}
      </dd>
      <dd className={styles.note}>{note}</dd>
    </div>
  );
}
