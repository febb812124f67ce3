import { useLive } from "../live/LiveContext";
import type { Connection } from "../live/state";
import { chooseTheme, useTheme } from "../theme";
import { IconButton } from "../ui/Button";
import { Mark, MoonIcon, SunIcon } from "../ui/icons";
import styles from "./Header.module.css";

const STATUS: Record<Connection, string> = { connecting: "Connecting", live: "Live", stale: "Not live", lost: "Not live" };

/** The name, whether what is shown is live, and the theme. */
export function Header() {
  const connection = useLive((state) => state.connection);
  return (
    <header className={styles.header}>
      <h1 className={styles.name}>
        <Mark />
        Tillstream
      </h1>
      <div className={styles.tools}>
        <span className={styles.status} data-connection={connection} data-testid="connection" role="status">
          <span className={styles.dot} />
          {STATUS[connection]}
        </span>
        <ThemeButton />
      </div>
    </header>
  );
}

function ThemeButton() {
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
