import { api } from "../../api/client";
import type { Books as BooksAnswer } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { formatClock, formatDate } from "../../format/time";
import { useQuery } from "../../live/useQuery";
import styles from "./Books.module.css";

const REFRESH_MS = 15_000;

/** Whether the live figures equal those that the batch job computed from the archive, and up to when. */
export function Books() {
  const { data, error } = useQuery("books", (signal) => api.reconciliation(signal), {
    everyMs: REFRESH_MS,
    revision: Date.now,
  });
  if (data === undefined && error === null) return null;
  return (
    <p className={styles.books} data-status={data?.status ?? "none"} data-testid="books">
      {data === undefined ? `Reconciliation unknown: ${error?.message ?? ""}` : sentence(data)}
    </p>
  );
}

function sentence({ status, message, as_of, differing, compared }: BooksAnswer): string {
  if (as_of == null || status === "none") return message;
  const upTo = `${formatDate(as_of)}, ${formatClock(as_of)}`;
  if (status === "agree") return `The live figures match the archive to the cent up to ${upTo} (${formatCount(compared)} figures compared).`;
  return `${formatCount(differing)} of ${formatCount(compared)} live figures differ from the archive, as of ${upTo}: ${message}`;
}
