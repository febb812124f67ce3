import { api } from "../../api/client";
import { formatCount } from "../../format/numbers";
import { useLiveConnection } from "../../live/LiveContext";
import { useQuery } from "../../live/useQuery";
import { Empty, Failed, Loading, Panel } from "../../ui/Panel";
import styles from "./Parts.module.css";

const REFRESH_MS = 3_000;

/** Rejected records by reason, and the command that repairs and replays them. */
export function DeadLetters() {
  const connection = useLiveConnection();
  const { data, error, retry } = useQuery("dead-letters", (signal) => api.deadLetters(signal), {
    everyMs: REFRESH_MS,
    revision: () => connection.getState().snapshot?.summary.dead_letters,
  });
  return (
    <Panel
      title="Dead letters"
      note="rejected records: stored in full with the reason, and not counted in any figure"
    >
      {data === undefined && (error ? <Failed error={error} retry={retry} /> : <Loading label="Loading dead letters" />)}
      {data?.length === 0 && <Empty>No record was rejected.</Empty>}
      {data !== undefined && data.length > 0 && (
        <table className={styles.parts} data-testid="dead letters">
          <thead>
            <tr>
              <th scope="col">Reason</th>
              <th scope="col">Records</th>
            </tr>
          </thead>
          <tbody>
            {data.map(({ reason, count }) => (
              <tr key={reason}>
                <th scope="row">{reason.replaceAll("_", " ")}</th>
                <td className="number">{formatCount(count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className={styles.advice}>
        List, repair and replay them with <code>python -m services.deadletters</code>.
      </p>
    </Panel>
  );
}
