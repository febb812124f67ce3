import { failureOf, type Obstacle } from "../live/session";
import { useSession } from "../live/SessionContext";
import { ThemeButton } from "../panels/Header";
import { LogoutButton } from "../panels/Identity";
import { useSearch } from "../router/location";
import { Mark } from "../ui/icons";
import styles from "./Login.module.css";

/** What stands in the page's place until somebody who may see it has logged in. */
export function Login({ obstacle }: { obstacle: Obstacle }) {
  const failure = failureOf(useSearch().get("login"));
  return (
    <div className={styles.page}>
      <div className={styles.tools}>
        <ThemeButton />
      </div>
      <main className={styles.card}>
        <h1>
          <Mark />
          Tillstream
        </h1>
        {failure !== null && (
          <p role="alert" className={styles.failure}>
            {failure}
          </p>
        )}
        <Way obstacle={obstacle} />
      </main>
    </div>
  );
}

function Way({ obstacle }: { obstacle: Obstacle }) {
  const { name, role, login } = useSession();
  switch (obstacle) {
    case "login":
      return (
        <>
          <p>Log in to see the shop’s figures.</p>
          <a className={styles.button} href={loginPath()}>
            Log in
          </a>
        </>
      );
    case "no_login":
      return (
        <p>
          This gateway asks for an API key, and has no login for its page. Set <code>TILLSTREAM_OIDC_ISSUER</code> to turn one
          on.
        </p>
      );
    case "role":
      return (
        <>
          <p>
            {name} has the role {role}, which sees nothing on this page.
          </p>
          {login && <LogoutButton />}
        </>
      );
  }
}

/** Leads back to where the page is now. */
function loginPath(): string {
  const here = new URL(window.location.href);
  here.searchParams.delete("login");
  return `/v1/session/login?path=${encodeURIComponent(`${here.pathname}${here.search}`)}`;
}
