import { useLive } from "../live/LiveContext";
import { useMay } from "../live/SessionContext";
import { standsStill, type Connection } from "../live/state";
import { Link } from "../router/Link";
import type { View } from "../router/route";
import { chooseTheme, useTheme } from "../theme";
import { IconButton } from "../ui/Button";
import { Mark, MoonIcon, SunIcon } from "../ui/icons";
import styles from "./Header.module.css";
import { Identity } from "./Identity";

const STATUS: Record<Connection, string> = { connecting: "Connecting", live: "Live", stale: "Not live", lost: "Not live" };

const VIEWS: [view: View, path: string, name: string][] = [
  ["now", "/", "Now"],
  ["sales", "/sales", "Sales"],
  ["customers", "/customers", "Customers"],
  ["products", "/products", "Products"],
  ["models", "/models", "Models"],
  ["system", "/system", "System"],
];

/** The name, the views that the role sees, whether what is shown is live, who is logged in, and the theme. */
export function Header({ view }: { view: View }) {
  const connection = useLive((state) => (standsStill(state) && state.connection === "live" ? "stale" : state.connection));
  const persons = useMay("persons");
  return (
    <header className={styles.header}>
      <Link to="/" className={styles.name}>
        <Mark />
        Tillstream
      </Link>
      <nav className={styles.views} aria-label="Views">
        {VIEWS.filter(([each]) => persons || each !== "customers").map(([each, path, name]) => (
          <Link key={each} to={path} aria-current={each === view ? "page" : undefined}>
            {name}
          </Link>
        ))}
      </nav>
      <div className={styles.tools}>
        <span className={styles.status} data-connection={connection} data-testid="connection" role="status">
          <span className={styles.dot} />
          {STATUS[connection]}
        </span>
        <Identity />
        <ThemeButton />
      </div>
    </header>
  );
}

export function ThemeButton() {
  const theme = useTheme();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <IconButton
      label={`Switch to ${other} theme`}
      onClick={() => {
        chooseTheme(other);
      }}
    >
      {theme === "dark" ? <SunIcon /> : <MoonIcon />}
    </IconButton>
  );
}
