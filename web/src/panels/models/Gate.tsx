import type { GateRecord } from "../../api/types";
import { formatScore, formatShare } from "../../format/numbers";
import { formatMoment, modelTime } from "../../format/time";
import { CheckIcon, CrossIcon } from "../../ui/icons";
import { Panel } from "../../ui/Panel";
import { recipeRows, verdictText } from "./gate";
import styles from "./Models.module.css";

const NUMBERS = { share: formatShare, score: formatScore };

/** What the newest run of the batch job decided, why, and on which figures. */
export function Gate({ gate }: { gate: GateRecord }) {
  const made = modelTime(gate.version);
  return (
    <Panel
      title="Newest training"
      note={
        <>
          <span className="id">{gate.version}</span>
          {made !== null && `, ${formatMoment(made.getTime())}`}
        </>
      }
    >
      <div className={styles.verdict} data-verdict={gate.verdict} data-testid="verdict">
        <strong>{verdictText(gate)}</strong>
        <p>{gate.reason}</p>
      </div>
      <Recipes gate={gate} />
      <Checks gate={gate} />
      {gate.rule !== undefined && (
        <details className={styles.rule}>
          <summary>The rule</summary>
          <p>{gate.rule}</p>
        </details>
      )}
    </Panel>
  );
}

function Recipes({ gate }: { gate: GateRecord }) {
  const rows = recipeRows(gate, NUMBERS);
  if (rows.length === 0) return null;
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label="What was compared, table">
      <table className={styles.models} data-testid="recipes">
        <thead>
          <tr>
            <th scope="col">Candidate, on the newest purchases</th>
            <th scope="col">Orders with a hit among three</th>
            <th scope="col">NDCG@10</th>
            <th scope="col">Compared with the live model</th>
            <th scope="col">Compared with popular products</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row">
                {row.name} {row.won && <span className={styles.live}>best</span>}
                {row.refused !== null && <p className={styles.refused}>{row.refused}</p>}
              </th>
              <td className="number">{row.hits}</td>
              <td className="number">{row.ranking}</td>
              <td className="number">{row.againstLive}</td>
              <td className="number">{row.againstPopularity}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Checks({ gate }: { gate: GateRecord }) {
  const checks = gate.checks ?? [];
  if (checks.length === 0) return null;
  return (
    <ul className={styles.checks} aria-label="Checks">
      {checks.map(({ name, passed, detail }) => (
        <li key={name} data-passed={passed}>
          {passed ? <CheckIcon /> : <CrossIcon />}
          <span>
            <span className="visually-hidden">{passed ? "Passed: " : "Failed: "}</span>
            {name}
            <span className={styles.detail}>: {detail}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}
