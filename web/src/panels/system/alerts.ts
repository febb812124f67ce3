/** What the page says of the alerts. Pure. */
import type { AlertsState, FiringAlert } from "../../api/types";

const SENTENCES: Record<AlertsState["status"], string> = {
  ok: "No alert fires.",
  not_evaluated: "Prometheus answers, but its watchdog does not fire: its rules are not evaluated, so it would not notice a fault.",
  unreachable: "Prometheus does not answer, so no alert can be shown.",
  unknown: "Prometheus was not asked yet.",
  off: "No Prometheus is set up: nothing watches this system. Set TILLSTREAM_PROMETHEUS_URL.",
};

export const sentenceOf = ({ status }: Pick<AlertsState, "status">): string => SENTENCES[status];

export const severityOf = ({ severity }: Pick<FiringAlert, "severity">): string => {
  if (severity === "page") return "Needs somebody now";
  return severity === "ticket" ? "Needs somebody within days" : "For information";
};
