import { useMemo } from "react";
import { api } from "../api/client";
import { formatCount, formatRate, formatWait } from "../format/numbers";
import { formatClock, modelTime } from "../format/time";
import { useLive } from "../live/LiveContext";
import { isLive } from "../live/state";
import { useSession } from "../live/SessionContext";
import { useQuery } from "../live/useQuery";
import { Alerts } from "../panels/system/Alerts";
import { DeadLetters } from "../panels/system/DeadLetters";
import { arrowsOf, boxesOf } from "../panels/system/flow";
import { FlowPicture } from "../panels/system/FlowPicture";
import { Parts } from "../panels/system/Parts";
import { Failed, Loading, Panel } from "../ui/Panel";
import styles from "./System.module.css";

const REFRESH_MS = 2_000;
const NUMBERS = { rate: formatRate, count: formatCount };

/** How the system is: the way of a purchase with what flows now, every part, and what could not be accepted. */
export default function System() {
  return (
    <div className={styles.page}>
      <Flow />
      <DeadLetters />
      <OpenRemark />
    </div>
  );
}

function OpenRemark() {
  const { closed } = useSession();
  return closed ? null : (
    <p className="remark">No login is set up: whoever reaches this address sees all figures and customers.</p>
  );
}

function Flow() {
  const { data, error, retry } = useQuery("system", (signal) => api.system(signal), {
    everyMs: REFRESH_MS,
    revision: Date.now,
  });
  const live = useLive(isLive);
  const freshnessMs = useLive((state) => state.snapshot?.summary.freshness_ms ?? null);
  const modelVersion = useLive((state) => state.snapshot?.summary.model_version ?? null);
  const flow = useMemo(() => {
    const parts = data?.parts ?? [];
    const freshness = freshnessMs === null ? null : `fresh in ${formatWait(freshnessMs)}`;
    const made = modelVersion === null ? null : modelTime(modelVersion);
    const asked = data?.as_of == null ? null : Date.parse(data.as_of);
    const modelAge = made === null || asked === null ? null : formatWait(asked - made.getTime());
    const seen = { live, freshness: live ? freshness : "not live", model: modelVersion, modelAge };
    const boxes = boxesOf(parts, NUMBERS, seen);
    return { boxes, arrows: arrowsOf(boxes, parts, NUMBERS) };
  }, [data, live, freshnessMs, modelVersion]);

  const asOf = data?.as_of == null ? "" : `as of ${formatClock(data.as_of)}`;
  return (
    <>
      <Panel
        title="Data flow"
        note={data === undefined ? "health of all components" : `${data.healthy ? "all components are healthy" : "a component is not healthy"}, ${asOf}`}
      >
        {data === undefined ? (
          <div className={styles.waiting}>
            {error ? <Failed error={error} retry={retry} /> : <Loading label="Loading the state of the system" />}
          </div>
        ) : (
          <>
            {error !== null && (
              <p className={styles.old} role="status">
                Not refreshed: {error.message} State {asOf}.
              </p>
            )}
            <FlowPicture {...flow} />
          </>
        )}
      </Panel>
      {data !== undefined && (
        <>
          <Alerts alerts={data.alerts} />
          <Panel title="Components">
            <Parts parts={data.parts} />
          </Panel>
        </>
      )}
    </>
  );
}
