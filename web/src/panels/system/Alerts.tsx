import type { AlertsState, FiringAlert } from "../../api/types";
import { formatMoment } from "../../format/time";
import { Empty, Panel } from "../../ui/Panel";
import { sentenceOf, severityOf } from "./alerts";
import styles from "./Alerts.module.css";

/** What fires, in words, with what to do; and the way to Prometheus, Alertmanager and Grafana. */
export function Alerts({ alerts }: { alerts: AlertsState }) {
  return (
    <Panel title="Alerts" note="what somebody should look at, as Prometheus finds it" actions={<Links alerts={alerts} />}>
      {alerts.firing.length === 0 ? (
        <Empty>{sentenceOf(alerts)}</Empty>
      ) : (
        <>
          {alerts.status !== "ok" && <p className={styles.note}>{sentenceOf(alerts)}</p>}
          <ul className={styles.alerts} data-testid="alerts">
            {alerts.firing.map((alert) => (
              <Firing key={`${alert.name} ${alert.summary}`} alert={alert} />
            ))}
          </ul>
          {alerts.more > 0 && <p className={styles.note}>And {alerts.more} more: see Prometheus.</p>}
        </>
      )}
    </Panel>
  );
}

function Firing({ alert }: { alert: FiringAlert }) {
  return (
    <li className={styles.alert} data-severity={alert.severity}>
      <p className={styles.summary}>{alert.summary}</p>
      <p className={styles.detail}>
        {severityOf(alert)}, {alert.name}, since {formatMoment(alert.since)}
        {alert.runbook !== null && (
          <>
            {" · "}
            <a href={alert.runbook} target="_blank" rel="noreferrer">
              What to do
            </a>
          </>
        )}
      </p>
    </li>
  );
}

function Links({ alerts: { prometheus, alertmanager, grafana } }: { alerts: AlertsState }) {
  const links = Object.entries({ Prometheus: prometheus, Alertmanager: alertmanager, Grafana: grafana });
  return (
    <nav className={styles.links} aria-label="Monitoring">
      {links.map(
        ([name, address]) =>
          address !== null && (
            <a key={name} href={address} target="_blank" rel="noreferrer">
              {name}
            </a>
          ),
      )}
    </nav>
  );
}
