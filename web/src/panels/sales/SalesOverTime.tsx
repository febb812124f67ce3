import { useCallback, useMemo, useState } from "react";
import { api } from "../../api/client";
import { salesOption, type Scene } from "../../charts/options";
import { growth, salesRows, totalOf, type SalesRow } from "../../charts/series";
import { bucketLabels, GRANULARITY_NAMES } from "../../format/buckets";
import { dayOf } from "../../format/calendar";
import { approximate, type MoneyFormat } from "../../format/money";
import { formatCount, formatGrowth } from "../../format/numbers";
import { categoryPath } from "../../format/product";
import { formatClock, formatMoment } from "../../format/time";
import { useMoney } from "../../live/ShopContext";
import { useFigures } from "../../live/useFigures";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import { salesColumns } from "../chart/salesColumns";
import { daysBefore, instantsOf, shownDays, type Choice } from "./choice";
import { Baselines, restatements, type Restatement } from "./restatement";
import styles from "./SalesOverTime.module.css";

/** Thousands of buckets are not asked for as often as a few. */
const REFRESH_MS = { month: 3_000, day: 3_000, hour: 5_000, minute: 10_000 } as const;
const SHOWN_RESTATEMENTS = 50;

interface Answer {
  rows: SalesRow[];
  before: SalesRow[];
  late: Restatement[];
  /** When this question was first answered. */
  since: number;
  minuteFloor: string | null;
  cut: boolean;
}

interface SalesOverTimeProps {
  choice: Choice;
  zone: string;
  /** The newest event's time, epoch milliseconds. */
  newest: number;
}

/** Revenue and pieces over the chosen range, beside the period before, with what late events have changed. */
export function SalesOverTime({ choice, zone, newest }: SalesOverTimeProps) {
  const money = useMoney();
  const { granularity, category, compare } = choice;
  const [baselines] = useState(() => new Baselines());
  const days = shownDays(choice, dayOf(newest, zone));
  const earlier = compare ? daysBefore(days, granularity) : null;
  const question = JSON.stringify([granularity, days, category, earlier, zone]);

  const load = async (signal: AbortSignal): Promise<Answer> => {
    const range = instantsOf(days, granularity, zone);
    const rangeBefore = earlier === null ? null : instantsOf(earlier, granularity, zone);
    const wanted = { granularity, category: category ?? undefined };
    const [now, then] = await Promise.all([
      api.sales({ ...wanted, ...range }, signal),
      rangeBefore === null ? null : api.sales({ ...wanted, ...rangeBefore }, signal),
    ]);
    const first = baselines.note(question, now.buckets);
    // What lies after the newest event is not zero, it has not been yet.
    const to = range.to === undefined ? undefined : Math.min(range.to, newest + 1);
    return {
      rows: salesRows(now.buckets, { granularity, zone, from: range.from, to }),
      before: then === null ? [] : salesRows(then.buckets, { granularity, zone, ...rangeBefore }),
      late: restatements(first, now.buckets),
      since: first.at,
      minuteFloor: now.minuteFloor,
      cut: now.cut,
    };
  };
  const { data, error, retry } = useFigures(`sales:${question}`, load, REFRESH_MS[granularity]);

  const option = useCallback(
    (scene: Scene) =>
      salesOption(
        {
          rows: data?.rows ?? [],
          before: data?.before ?? [],
          restated: new Set(data?.late.map(({ bucket }) => Date.parse(bucket))),
        },
        scene,
      ),
    [data],
  );
  const columns = useMemo(() => columnsOf(money, choice, data), [money, choice, data]);
  const rows = { data: data?.rows, error, retry };
  return (
    <ChartPanel
      title={`Sales by ${granularity}`}
      id="sales"
      note={`revenue and pieces${category === null ? "" : ` of ${categoryPath(category)}`}, ${rangeText(data?.rows, choice, zone)}`}
      className={styles.panel}
      rows={rows}
      option={option}
      columns={columns}
      empty="Nothing was sold in this range."
      above={data === undefined ? undefined : <Totals {...data} compared={earlier !== null} />}
      below={data === undefined ? undefined : <Remarks answer={data} choice={choice} zone={zone} />}
    />
  );
}

function columnsOf(money: MoneyFormat, { granularity }: Choice, data: Answer | undefined): Column<SalesRow>[] {
  const columns = salesColumns(money, GRANULARITY_NAMES[granularity]);
  if (data === undefined || data.before.length === 0) return columns;
  const before = new Map(data.rows.map(({ start }, index) => [start, data.before[index]]));
  const revenueBefore = ({ start }: SalesRow): string | null => before.get(start)?.revenue ?? null;
  return [
    ...columns,
    {
      name: "Revenue, period before",
      cell: (row) => {
        const revenue = revenueBefore(row);
        return revenue === null ? "—" : money.exact(revenue);
      },
      raw: revenueBefore,
    },
  ];
}

function rangeText(rows: readonly SalesRow[] | undefined, { granularity }: Choice, zone: string): string {
  const first = rows?.at(0);
  const last = rows?.at(-1);
  const day = bucketLabels(granularity === "month" ? "month" : "day", zone);
  if (first === undefined || last === undefined) return "in the chosen range";
  return `${day(first.start)} to ${day(last.start)}, ${zone}`;
}

/** All of the range together, and by how much it has grown. */
function Totals({ rows, before, compared }: Answer & { compared: boolean }) {
  const money = useMoney();
  const now = totalOf(rows);
  const then = totalOf(before);
  return (
    <dl className={styles.totals} data-testid="range totals">
      <Total
        name="Revenue"
        value={money.exact(now.revenue)}
        grown={compared ? growth(approximate(now.revenue), approximate(then.revenue)) : undefined}
      />
      <Total
        name="Pieces"
        value={formatCount(now.quantity)}
        grown={compared ? growth(now.quantity, then.quantity) : undefined}
      />
      <Total
        name="Orders"
        value={formatCount(now.orders)}
        grown={compared ? growth(now.orders, then.orders) : undefined}
      />
    </dl>
  );
}

/** `grown` is a share, null where it cannot be told, undefined where it is not asked for. */
function Total({ name, value, grown }: { name: string; value: string; grown: number | null | undefined }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="number">{value}</dd>
      {grown !== undefined && (
        <dd className={`${styles.grown} number`} data-sign={Math.sign(grown ?? 0)}>
          {grown === null ? "nothing before" : `${formatGrowth(grown)} on the period before`}
        </dd>
      )}
    </div>
  );
}

/** What the chart leaves out, and what late events have changed in it. */
function Remarks({ answer, choice, zone }: { answer: Answer; choice: Choice; zone: string }) {
  const money = useMoney();
  const { late, since, minuteFloor, cut } = answer;
  const label = bucketLabels(choice.granularity, zone);
  return (
    <div className={styles.remarks}>
      {cut && <p>Only the newest 10,000 buckets are shown: choose a shorter range.</p>}
      {minuteFloor !== null && <p>Minutes are kept from {formatMoment(minuteFloor)} on.</p>}
      {late.length > 0 && (
        <details className={styles.late} data-testid="restated">
          <summary>
            Late events have changed {formatCount(late.length)} {late.length === 1 ? "bucket" : "buckets"} since{" "}
            {formatClock(since)}
          </summary>
          <ul>
            {late.slice(-SHOWN_RESTATEMENTS).map(({ bucket, revenue, quantity }) => (
              <li key={bucket} className="number">
                <span>{label(Date.parse(bucket))}</span>
                <span>
                  {money.change(revenue)}, {formatCount(quantity)} {Math.abs(quantity) === 1 ? "piece" : "pieces"}
                </span>
              </li>
            ))}
          </ul>
          {late.length > SHOWN_RESTATEMENTS && <p>The newest {SHOWN_RESTATEMENTS} are listed.</p>}
        </details>
      )}
    </div>
  );
}
