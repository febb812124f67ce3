import { useMemo, useState } from "react";
import { api } from "../../api/client";
import { formatCount, formatRate } from "../../format/numbers";
import { formatClock } from "../../format/time";
import { useLive } from "../../live/LiveContext";
import { lineRate, merged, readingOf, revenueRate, stepsOf, type Step } from "../../live/pulse";
import { useMoney } from "../../live/ShopContext";
import { isLive } from "../../live/state";
import { useQuery } from "../../live/useQuery";
import { Segments } from "../../ui/Field";
import { ChartPanel, type Column } from "../chart/ChartPanel";
import styles from "./LastMinutes.module.css";
import { MovingLine } from "./MovingLine";

const SPANS = { "2": 120, "16": 1_000 } as const;
type Minutes = keyof typeof SPANS;

/** Revenue and arrivals per second as lines that move, of the last two or sixteen minutes. */
export function LastMinutes({ className }: { className?: string | undefined }) {
  const money = useMoney();
  const [minutes, setMinutes] = useState<Minutes>("2");
  const live = useLive(isLive);
  const since = useLive((state) => state.liveSince);
  const readings = useLive((state) => state.readings);
  // Asked for again when the stream has come back, since readings were missed meanwhile.
  const beginning = useQuery(`pulse:${since}`, async (signal) => (await api.pulse(signal)).map(readingOf));
  const steps = useMemo(
    () => (beginning.data === undefined ? undefined : stepsOf(merged(beginning.data, readings))),
    [beginning.data, readings],
  );
  const columns: Column<Step>[] = [
    { name: "Up to", cell: ({ at }) => formatClock(at), raw: ({ at }) => new Date(at).toISOString() },
    { name: "Seconds", cell: ({ seconds }) => formatRate(seconds), raw: ({ seconds }) => seconds },
    { name: "Revenue", cell: ({ revenue }) => money.exact(revenue), raw: ({ revenue }) => revenue },
    { name: "Lines", cell: ({ lines }) => formatCount(lines), raw: ({ lines }) => lines },
  ];
  return (
    <ChartPanel
      title="The last minutes"
      note="what arrives, second by second"
      className={className}
      rows={{ ...beginning, data: steps }}
      columns={columns}
      empty="The first second is being counted."
      above={
        <Segments
          name="How far back"
          value={minutes}
          options={[
            { value: "2", label: "2 minutes" },
            { value: "16", label: "16 minutes" },
          ]}
          onChange={setMinutes}
        />
      }
      picture={
        <div className={styles.lanes}>
          <MovingLine
            name="Revenue a second"
            steps={steps ?? []}
            seconds={SPANS[minutes]}
            rate={revenueRate}
            format={money.compact}
            live={live}
            className={styles.first}
          />
          <MovingLine
            name="Purchase lines a second"
            steps={steps ?? []}
            seconds={SPANS[minutes]}
            rate={lineRate}
            format={formatRate}
            live={live}
            className={styles.second}
          />
          <p className={styles.axis} aria-hidden="true">
            <span>{minutes} minutes {live ? "ago" : "before"}</span>
            <span>{live ? "now" : "when it was last live"}</span>
          </p>
        </div>
      }
    />
  );
}
