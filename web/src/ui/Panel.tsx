import { useId, type ReactNode } from "react";
import { Button } from "./Button";
import styles from "./Panel.module.css";

interface PanelProps {
  title: string;
  note?: ReactNode;
  actions?: ReactNode;
  className?: string | undefined;
  /** For a link to it. */
  id?: string;
  children: ReactNode;
}

/** A titled region of the page. */
export function Panel({ title, note, actions, className, id, children }: PanelProps) {
  const heading = useId();
  return (
    <section id={id} className={[styles.panel, className].join(" ")} aria-labelledby={heading}>
      <header className={styles.head}>
        <div>
          <h2 id={heading}>{title}</h2>
          {note !== undefined && <p className={styles.note}>{note}</p>}
        </div>
        {actions}
      </header>
      {children}
    </section>
  );
}

/** What stands in a panel that has nothing to show. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className={styles.message}>{children}</div>;
}

/** What stands in a panel whose question was not answered. */
export function Failed({ error, retry }: { error: Error; retry: () => void }) {
  return (
    <div className={styles.message} role="alert">
      <p>{error.message}</p>
      <Button onClick={retry}>Try again</Button>
    </div>
  );
}

/** What stands in a panel until the answer comes. */
export function Loading({ label }: { label: string }) {
  return (
    <div className={styles.skeleton} role="status">
      <span className="visually-hidden">{label}</span>
    </div>
  );
}
