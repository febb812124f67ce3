import { useLive } from "../../live/LiveContext";
import { Link } from "../../router/Link";
import { customerPath } from "../../router/route";
import styles from "./QuickPicks.module.css";

const PICKS = 3;

/** The biggest spenders, so that nobody is stuck before an empty box. */
export function QuickPicks({ userId }: { userId: string | null }) {
  const spenders = useLive((state) => state.snapshot?.top.spenders);
  if (spenders === undefined || spenders.length === 0) return null;
  return (
    <nav className={styles.picks} aria-label="Top spenders">
      <span>Top spenders</span>
      {spenders.slice(0, PICKS).map(({ id }) => (
        <Link key={id} className="id" to={customerPath(id)} aria-current={id === userId ? "page" : undefined}>
          {id}
        </Link>
      ))}
    </nav>
  );
}
