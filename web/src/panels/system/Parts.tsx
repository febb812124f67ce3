import type { Part } from "../../api/types";
import { formatCount, formatRate } from "../../format/numbers";
import { statusOf, isDown, type Status } from "./flow";
import styles from "./Parts.module.css";

const STATUS: Record<Status, string> = {
  ok: "Healthy",
  not_ready: "Not ready",
  unreachable: "Down",
  unknown: "Unknown",
  idle: "Idle",
};
const NOTHING = "—";

/** Every part in words: the same as the picture, and what it leaves out. */
export function Parts({ parts }: { parts: readonly Part[] }) {
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label="All components, table">
      <table className={styles.parts}>
        <thead>
          <tr>
            {["Component", "State", "Detail", "Rate", "Lag", "Version"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {parts.map((part) => (
            <tr key={part.name}>
              <th scope="row">{part.name}</th>
              <td data-down={isDown(statusOf(part))}>{STATUS[statusOf(part)]}</td>
              <td>{part.detail}</td>
              <td className="number">{part.rate == null ? NOTHING : `${formatRate(part.rate)}/s`}</td>
              <td className="number">{part.lag == null ? NOTHING : formatCount(part.lag)}</td>
              <td className="id">{part.version ?? NOTHING}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
