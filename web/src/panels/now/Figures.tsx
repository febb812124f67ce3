import type { ReactNode } from "react";
import type { SalesBucket, Summary } from "../../api/types";
import { bucketLabels } from "../../format/buckets";
import { approximate, averageMoney } from "../../format/money";
import { formatCount, formatRate, formatWait } from "../../format/numbers";
import { formatClock, formatMoment, modelTime } from "../../format/time";
import type { Freshness } from "../../live/freshness";
import { useFreshness, useLive } from "../../live/LiveContext";
import { useMoney, useShop } from "../../live/ShopContext";
import { isLive } from "../../live/state";
import { Link } from "../../router/Link";
import { Sparkline } from "../../ui/Sparkline";
import styles from "./Figures.module.css";
import { TREND_DAYS, useTrend } from "./useTrend";

const NOT_KNOWN = "—";

/** The shop's figures as of the newest snapshot, the newest day's beside them; faded while they are not live. */
export function Figures() {
  const live = useLive(isLive);
  const summary = useLive((state) => state.snapshot?.summary ?? null);
  const first = useLive((state) => state.first?.summary ?? null);
  const money = useMoney();
  const trend = useTrend(summary?.today ?? null);
  const day = useDayName(summary?.today ?? null);
  const show = (read: (summary: Summary) => string): string => (summary === null ? NOT_KNOWN : read(summary));
  const today = (read: (today: SalesBucket) => string): ReactNode =>
    summary?.today == null ? NOT_KNOWN : <Today day={day}>{read(summary.today)}</Today>;
  return (
    <div className={styles.figures} data-live={live} data-testid="figures">
      <dl className={styles.totals} aria-label="Figures so far, and of the newest day">
        <Figure
          id="revenue"
          name="Revenue so far"
          className={styles.revenue}
          second={today(({ revenue }) => money.exact(revenue))}
          trend={trend?.map(({ revenue }) => approximate(revenue))}
        >
          {show(({ revenue }) => money.exact(revenue))}
        </Figure>
        <Figure
          id="orders"
          name="Orders"
          note={show(({ orders, revenue }) =>
            orders === 0 ? NOT_KNOWN : `${money.exact(averageMoney(revenue, orders))} each`,
          )}
          second={today(({ orders }) => formatCount(orders))}
          trend={trend?.map(({ orders }) => orders)}
        >
          {show(({ orders }) => formatCount(orders))}
        </Figure>
        <Figure
          id="quantity"
          name="Pieces"
          note={show(({ events }) => `in ${formatCount(events)} lines`)}
          second={today(({ quantity }) => formatCount(quantity))}
          trend={trend?.map(({ quantity }) => quantity)}
        >
          {show(({ quantity }) => formatCount(quantity))}
        </Figure>
        <Figure
          id="buyers"
          name="Buyers"
          className={styles.buyers}
          note="known customers"
          second={
            <>
              <b>{summary === null || first === null ? NOT_KNOWN : `+${formatCount(summary.buyers - first.buyers)}`}</b> new
              since you opened this page
            </>
          }
          aside="Buyers are not counted by day."
        >
          {show(({ buyers }) => formatCount(buyers))}
        </Figure>
      </dl>
      <dl className={styles.strip} aria-label="The stream">
        <Short id="events_per_second" name="Events/s" note="over ten seconds">
          {show(({ events_per_second }) => (events_per_second === null ? NOT_KNOWN : formatRate(events_per_second)))}
        </Short>
        <FreshnessFigure />
        <Short
          id="dead_letters"
          name="Dead letters"
          note={<Link to="/system">what they are</Link>}
          alarm={summary !== null && summary.dead_letters > 0}
        >
          {show(({ dead_letters }) => formatCount(dead_letters))}
        </Short>
        <Short id="as_of" name="As of" note={show(({ lag }) => (lag === null ? "" : `${formatCount(lag)} records behind`))}>
          {show(({ as_of }) => formatClock(as_of))}
        </Short>
        <ModelFigure version={summary?.model_version ?? null} />
      </dl>
    </div>
  );
}

/** The newest event's day as the shop's calendar names it. */
function useDayName(today: SalesBucket | null): string {
  const zone = useShop().timeZone;
  if (today === null || zone === null) return "the newest day";
  return bucketLabels("day", zone)(Date.parse(today.bucket));
}

function Today({ day, children }: { day: string; children: ReactNode }) {
  return (
    <>
      <b>{children}</b> on {day}
    </>
  );
}

/** From a purchase's arrival at the broker to its being painted here. */
function FreshnessFigure() {
  const freshness = useFreshness();
  return (
    <Short id="freshness" name="A purchase shows here after" note={freshness === null ? "none has come yet" : spread(freshness)}>
      {freshness === null || clocksDiffer(freshness) ? NOT_KNOWN : formatWait(Math.max(0, freshness.half))}
    </Short>
  );
}

const clocksDiffer = ({ half, error }: Freshness): boolean => half < -error;

function spread(freshness: Freshness): string {
  if (clocksDiffer(freshness)) return "the servers' clocks differ";
  const known = freshness.error < 100 ? "" : `, ± ${formatWait(freshness.error)}`;
  return `99 of 100 after ${formatWait(Math.max(0, freshness.most))}${known}`;
}

function ModelFigure({ version }: { version: string | null }) {
  const trained = version === null ? null : modelTime(version);
  return (
    <div className={`${styles.short} ${styles.model}`}>
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

interface ShortProps {
  id: string;
  name: string;
  note?: ReactNode;
  alarm?: boolean;
  children: ReactNode;
}

/** A figure of one line. */
function Short({ id, name, note, alarm = false, children }: ShortProps) {
  return (
    <div className={styles.short}>
      <dt>{name}</dt>
      <dd data-testid={`figure-${id}`} data-alarm={alarm}>
        {children}
      </dd>
      <dd className={styles.note}>{note}</dd>
    </div>
  );
}

interface FigureProps extends ShortProps {
  className?: string | undefined;
  /** What stands below the total: the newest day's. */
  second: ReactNode;
  /** One value a day, the newest last. */
  trend?: readonly number[] | undefined;
  /** What is said where there is no trend. */
  aside?: string;
}

/** A total, with the newest day's and how the days before it went. */
function Figure({ id, name, note, second, trend, aside, className, children }: FigureProps) {
  return (
    <div className={[styles.figure, className].join(" ")}>
      <dt>{name}</dt>
      <dd className={styles.total} data-testid={`figure-${id}`}>
        {children}
      </dd>
      {note !== undefined && <dd className={styles.note}>{note}</dd>}
      <dd className={styles.today} data-testid={`today-${id}`}>
        {second}
      </dd>
      <dd className={styles.trend}>
        {trend === undefined ? aside : <Sparkline values={trend} label={`${name}, the ${TREND_DAYS} days up to the newest`} />}
      </dd>
    </div>
  );
}
